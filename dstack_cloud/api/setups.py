"""What a plan says of setups."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class KeptView(TypedDict):
    """`place`: `store`, or the backend whose machine keeps it; `size` as it is there, packed in the store."""

    place: str
    size: int


class SetupView(TypedDict):
    """What becomes of a job's `setup`. `state`: "" where that wasn't asked (`RunRequest.setups`), else `kept` (at `places`), `missing`,
    `rebuild`, or `unknown` where it depends on what other jobs of the run will make. The other fields say which files count."""

    state: Literal["", "kept", "missing", "rebuild", "unknown"]
    places: list[KeptView]
    commands: list[str]
    working_dir: str
    caches: list[str]
    made: list[str]
