"""A cloud that is a folder, each machine a file in it, with the SDK that its vendor would ship. For `fakes.toy`, which is the backend
that docs/dev/adding-a-backend.md tells how to write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

GIB = 2**30
SIZES: Mapping[str, tuple[int, int]] = {"toy.small": (2, 4 * GIB), "toy.large": (8, 32 * GIB)}
PRICES: Mapping[str, float] = {"toy.small": 0.01}


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Toyland:
    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key

    def sizes(self) -> dict[str, tuple[int, int]]:
        """{type: (CPUs, bytes of memory)}"""
        self._check()
        return dict(SIZES)

    def prices(self) -> dict[str, float]:
        self._check()
        return dict(PRICES)

    def make(self, name: str, size: str, tags: Mapping[str, str]) -> None:
        """The same name is the same machine."""
        self._check()
        if size not in SIZES:
            raise Refused("NoSuchSize", f"there is no {size}")
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_text(json.dumps({"name": name, "size": size, "tags": dict(tags)}))

    def machines(self, names: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Those of these names, or all."""
        self._check()
        there = sorted(self._folder.iterdir()) if self._folder.exists() else []
        wanted = None if names is None else set(names)
        return [json.loads(path.read_text()) for path in there if wanted is None or path.name in wanted]

    def delete(self, name: str) -> None:
        self._check()
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:
            raise Refused("NotFound", f"there is no machine {name}") from None

    def _check(self) -> None:
        if self._key != "toy":
            raise Refused("BadKey", "that isn't the key")
