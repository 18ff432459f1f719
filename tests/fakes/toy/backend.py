"""The backend of a cloud that there is not, with the files and the things in them that docs/dev/adding-a-backend.md names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dstack_cloud.backends.base import Capabilities, Finding, Launch, Observed, Owned
from dstack_cloud.domain.resources import Offer, Requirements
from tests.fakes.toy.client import ToyClient
from tests.fakes.toy.config import ToyConfig
from tests.fakes.toy.offers import NAME, ZONE, Market
from tests.fakes.toy.resources import Fleet, findings, request


class ToyBackend:
    """Implements `backends.base.Backend`."""

    name = NAME

    def __init__(self, config: ToyConfig, home: Path, installation: str, default_image: str) -> None:
        self._installation, self._image = installation, default_image
        self._client = ToyClient(config)
        self._fleet = Fleet(self._client, installation)
        self._market = Market(self._client, home / NAME)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(containers=True, default_image=self._image, remote=True, prices="Toyland's price list")

    def validate(self) -> list[Finding]:
        return [*findings(self._client), *self._market.findings()]

    def offers(self, requirements: Requirements) -> list[Offer]:
        return self._market.find(requirements, lambda region: (ZONE,))

    def priced_at(self) -> float | None:
        return self._market.read_at()

    def create(self, launch: Launch) -> str:
        return self._fleet.make(request(self._installation, launch))

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        return self._fleet.inspect(refs)

    def list_owned(self) -> list[Owned]:
        return self._fleet.listed()

    def terminate(self, refs: Sequence[str]) -> None:
        self._fleet.terminate(refs)
