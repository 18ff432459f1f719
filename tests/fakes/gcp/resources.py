"""What exists in the emulated project, by its path ("projects/p/zones/z/instances/n"), and what a listing shows of it."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Iterator, Mapping

from tests.fakes.gcp.places import LINK
from tests.fakes.gcp.wire import Json, Refusal


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def new_id() -> str:
    return str(random.getrandbits(62) + 2**62)


class Resources:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._known: dict[str, Json] = {}
        # when each came, and those that went, with both times
        self._born: dict[str, float] = {}
        self._gone: list[tuple[str, Json, float, float]] = []

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def add(self, path: str, kind: str, document: Mapping[str, object]) -> Json:
        """With what every resource has. Raises Refusal for a name that is taken."""
        if path in self._known:
            raise Refusal(409, f"The resource '{path}' already exists", "alreadyExists")
        common = {"kind": f"compute#{kind}", "id": new_id(), "creationTimestamp": now(), "selfLink": LINK + path}
        self._known[path] = {**document, **common}
        self._born[path] = time.monotonic()
        return self._known[path]

    def get(self, path: str) -> Json:
        """By its name or its number. Raises Refusal."""
        if path in self._known:
            return self._known[path]
        collection, _, id = path.rpartition("/")
        for known in self.below(collection) if id.isdigit() else ():
            if known["id"] == id:
                return known
        raise Refusal(404, f"The resource '{path}' was not found", "notFound")

    def remove(self, path: str) -> None:
        if path in self._known:
            self._gone.append((path, self._known.pop(path), self._born.pop(path), time.monotonic()))

    def below(self, collection: str) -> list[Json]:
        """As it is now."""
        return [document for path, document in sorted(self._known.items()) if path.rpartition("/")[0] == collection]

    def all(self, kind: str) -> list[Json]:
        """In every project, zone and region. `kind` is a collection's name: "instances"."""
        return [document for path, document in sorted(self._known.items()) if path.split("/")[-2] == kind]

    def listed(self, kind: str, project: str, lag: float) -> dict[str, list[Json]]:
        """By scope ("zones/z"), as it was so many seconds ago."""
        found: dict[str, list[Json]] = {}
        for path, document in sorted(self._at(time.monotonic() - lag), key=lambda each: each[0]):
            parts = path.split("/")
            if parts[1] == project and parts[-2] == kind:
                found.setdefault("/".join(parts[2:-2]), []).append(document)
        return found

    def _at(self, moment: float) -> Iterator[tuple[str, Json]]:
        for path, document in self._known.items():
            if self._born[path] <= moment:
                yield path, document
        for path, document, born, gone in self._gone:
            if born <= moment < gone:
                yield path, document
