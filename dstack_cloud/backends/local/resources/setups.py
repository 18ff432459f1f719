"""What setups made, as this computer keeps it: environments in the state folder, images in its Docker engine."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from dstack_cloud import errors
from dstack_cloud.backends.base import KeptSetup
from dstack_cloud.runner_bootstrap.payload import docker_setup, process_setup
from dstack_cloud.runner_bootstrap.payload.engine import Engine, EngineError

# the engine's answer for an image that a container is made of
IN_USE = 409


def list_setups(folder: Path, engine: Engine) -> list[KeptSetup]:
    return [*_environments(folder), *_images(folder, engine)]


def remove_setups(folder: Path, engine: Engine, refs: Sequence[str]) -> None:
    for ref in refs:
        kind, _, name = ref.partition("/")
        if kind == "environment":
            process_setup.remove_kept(folder / name)
        elif engine.available():
            _remove_image(engine, name)


def _environments(folder: Path) -> list[KeptSetup]:
    found = []
    for about in sorted(folder.glob(f"*/{process_setup.ABOUT}")):
        try:
            workflow, used_at = str(json.loads(about.read_text())["workflow"]), about.stat().st_mtime
        except (OSError, ValueError, KeyError):
            continue  # removed just now
        found.append(KeptSetup(f"environment/{about.parent.name}", workflow, _size(about.parent), used_at))
    return found


def _images(folder: Path, engine: Engine) -> list[KeptSetup]:
    if not engine.available():
        return []
    try:
        listed = engine.images({docker_setup.FOLDER_LABEL: str(folder)})
        return [
            KeptSetup(
                f"image/{name}",
                str(image["Labels"].get(docker_setup.WORKFLOW_LABEL, "")),
                engine.layer_size(name),
                docker_setup.used_at(engine, name),
            )
            for image in listed
            for name in docker_setup.names_of(image)
        ]
    except EngineError as error:
        raise errors.Unavailable(f"the images of setups can't be listed: {error.message}") from error


def _remove_image(engine: Engine, name: str) -> None:
    try:
        engine.remove_image(name)
    except EngineError as error:
        # in use: it goes with the next one that is built
        if error.status != IN_USE:
            raise errors.Unavailable(f"the image {name} can't be removed: {error.message}") from error


def _size(folder: Path) -> int:
    """Bytes of its files; a link to one counts nothing."""
    files = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files if not file.is_symlink())
