"""Which files of the working folder decide whether what a setup made before is used again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud.client.listing import Entry
from dstack_cloud.runner_bootstrap.payload.setup_key import Named, digests

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import PlannedJob


def named_files(jobs: Sequence[PlannedJob], folder: Path, entries: Iterable[Entry]) -> dict[str, dict[str, str]]:
    """By job and path, a digest of each that its setup names. `entries`: what of the folder is sent."""
    sent = {str(folder), *(f"{folder}/{entry.path}" for entry in entries)}
    found = {}
    for job in jobs:
        if job["setup"] is not None:
            asked = job["setup"]
            named = Named(tuple(asked["commands"]), asked["working_dir"], tuple(asked["caches"]), tuple(asked["made"]))
            found[job["name"]] = digests(named, folder, lambda path: str(path) in sent)
    return found
