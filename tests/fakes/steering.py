"""How a test steers an emulated cloud from its own process: JSON over HTTP, below one path of the same endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from tests.fakes.faults import Book

PATH = "/_control/"
Json = dict[str, Any]
Verb = Callable[[Json], "Json | None"]


class Steered(Protocol):
    """`settings` are a data class."""

    settings: Any

    @property
    def faults(self) -> Book[Any]: ...

    def reset(self) -> None: ...


class Verbs:
    """What can be asked for: of any cloud, and with `more` of one."""

    def __init__(
        self, world: Steered, fault: Callable[..., Any], state: Callable[[], Json], more: Mapping[str, Verb]
    ) -> None:
        """`fault` makes an order to do wrong of its fields; `state` tells everything that is there."""
        self._world = world
        self._verbs: Mapping[str, Verb] = {
            "fault": lambda asked: world.faults.add(fault(**asked)),
            "forgive": lambda asked: world.faults.clear(),
            "settings": self._set,
            "reset": lambda asked: world.reset(),
            "state": lambda asked: state(),
            **more,
        }

    def do(self, path: str, body: bytes) -> tuple[Json, int]:
        """The answer, and its HTTP status. What a verb can't do it says by a TypeError, LookupError or ValueError."""
        verb = path.removeprefix(PATH)
        if verb not in self._verbs:
            return {"error": f"there is no {verb}"}, 404
        try:
            return self._verbs[verb](json.loads(body or b"{}")) or {}, 200
        except (TypeError, LookupError, ValueError) as wrong:
            return {"error": repr(wrong)}, 400

    def _set(self, asked: Json) -> None:
        self._world.settings = replace(self._world.settings, **asked)
