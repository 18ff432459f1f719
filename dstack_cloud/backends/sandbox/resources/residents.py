"""Which machine is behind an address, and what its metadata service says about it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dstack_cloud.backends.sandbox.resources.clouds import Subject
from dstack_cloud.backends.sandbox.resources.machine import REGION_LABEL, SPOT_LABEL, TYPE_LABEL, ZONE_LABEL
from dstack_cloud.backends.sandbox.resources.notices import Notices
from dstack_cloud.errors import BackendError

# the engine isn't asked more often, however many machines look for a notice; an address isn't given away again sooner
FRESH_SECONDS = 2.0

Containers = Callable[[], list[dict[str, Any]]]


class Residents:
    """`containers` are those of one installation, as the engine lists them. Thread-safe."""

    def __init__(self, containers: Containers, notices: Notices) -> None:
        self._containers = containers
        self._notices = notices
        self._lock = threading.Lock()
        self._known: dict[str, Subject] = {}
        self._read_at = float("-inf")
        self._documents: dict[str, dict[str, bytes]] = {}

    def publish(self, ref: str, path: str, body: bytes | None) -> None:
        """Lets a machine find `body` at a path of its metadata service (`/latest/user-data`); None takes it back."""
        with self._lock:
            documents = self._documents.setdefault(ref, {})
            if body is None:
                documents.pop(path, None)
            else:
                documents[path] = body

    def forget(self, ref: str) -> None:
        with self._lock:
            self._documents.pop(ref, None)
            self._read_at = float("-inf")

    def find(self, address: str) -> Subject | None:
        with self._lock:
            if address not in self._known or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._read()
            found = self._known.get(address)
            documents = dict(self._documents.get(found.id, {})) if found else {}
        if found is None:
            return None
        notice = self._notices.get(found.id)
        if notice is None or notice.at > time.time():
            return replace(found, documents=documents)
        return replace(found, announced_at=notice.at, ends_at=notice.ends_at, documents=documents)

    def _read(self) -> None:
        """An engine that doesn't answer leaves what was known."""
        try:
            containers = self._containers()
        except BackendError:
            return
        self._known = {subject.address: subject for entry in containers if (subject := _subject(entry)).address}
        self._read_at = time.monotonic()


def _subject(entry: dict[str, Any]) -> Subject:
    networks, labels = entry["NetworkSettings"]["Networks"].values(), entry["Labels"]
    return Subject(
        id=entry["Names"][0].lstrip("/"),
        region=labels.get(REGION_LABEL, ""),
        zone=labels.get(ZONE_LABEL, ""),
        type=labels.get(TYPE_LABEL, ""),
        address=next((each["IPAddress"] for each in networks if each["IPAddress"]), ""),
        spot=labels.get(SPOT_LABEL) == "true",
    )
