"""What is made in Toyland and looked at there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dstack_cloud.backends.base import Finding, Health, Launch, Observed, Owned
from dstack_cloud.errors import BackendError
from tests.fakes.toy.client import ToyClient
from tests.fakes.toy.errors import NOT_FOUND, translated

OWNER_TAG, KEY_TAG = "dstack-owner", "dstack-key"


def name_of(installation: str, key: str) -> str:
    return f"{installation[:8]}-{key}"


def request(installation: str, launch: Launch) -> dict[str, Any]:
    tags = {**launch.tags, OWNER_TAG: installation, KEY_TAG: launch.key}
    return {"name": name_of(installation, launch.key), "size": launch.offer.instance_type, "tags": tags}


class Fleet:
    """`installation` owns what is listed."""

    def __init__(self, client: ToyClient, installation: str) -> None:
        self._client, self._installation = client, installation

    def make(self, asked: Mapping[str, Any]) -> str:
        with translated(str(asked["size"])):
            self._client.land().make(**asked)
        return str(asked["name"])

    def inspect(self, refs: Sequence[str]) -> dict[str, Observed]:
        with translated("machines"):
            there = {each["name"] for each in self._client.land().machines(refs)}
        alive = {ref: Observed(ref, Health.RUNNING, endpoint="ssh:dstack@192.0.2.1:22") for ref in there}
        return {ref: alive.get(ref, Observed(ref, Health.GONE, detail="Toyland knows no such machine")) for ref in refs}

    def listed(self) -> list[Owned]:
        with translated("machines"):
            found = self._client.land().machines()
        ours = [each for each in found if each["tags"][OWNER_TAG] == self._installation]
        return [Owned(each["name"], each["tags"][KEY_TAG]) for each in ours]

    def terminate(self, refs: Sequence[str]) -> None:
        for ref in refs:
            try:
                with translated(ref):
                    self._client.land().delete(ref)
            except BackendError as refused:
                if refused.cloud_code not in NOT_FOUND:
                    raise


def findings(client: ToyClient) -> list[Finding]:
    try:
        with translated("key"):
            client.land().sizes()
    except BackendError as wrong:
        return [Finding.of(wrong)]
    return [Finding(True, "the key is good")]
