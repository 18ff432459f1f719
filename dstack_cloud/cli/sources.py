"""The workflow files of the current folder, as the server wants them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud.api.locations import state_folder
from dstack_cloud.errors import ConfigurationError, UsageError
from dstack_cloud.providers import place

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import SourceFile

FOLDER = ".dstack"
_LARGEST = 1 << 20  # bytes of one file; no workflow file comes near it
_SUFFIXES = (".yaml", ".yml")


def read_sources(folder: Path) -> list[SourceFile]:
    """All of `.dstack/*.yaml` and `.dstack/workflows/*.yaml`, and the files of providers that these name. Raises UsageError where
    there are none, ConfigurationError for one that isn't text."""
    home = folder / FOLDER
    if not home.is_dir():
        raise UsageError(
            f"there is no {FOLDER} folder in {folder}",
            f"workflows are defined in {FOLDER}/workflows.yaml: create it, or run this in the folder that has it",
        )
    try:
        paths = list(_paths(home))
    except OSError as error:
        raise UsageError(f"can't read {error.filename}: {error.strerror}", "make the folder readable") from error
    sources = [_read(folder, path) for path in paths]
    if not sources:
        raise UsageError(f"there is no workflow file in {home}", f"create {FOLDER}/workflows.yaml")
    own = {place.split(name)[0] for source in sources for name in place.named_in(source["text"]) if place.is_own(name)}
    return [*sources, *(_read(folder, folder / path) for path in sorted(own) if (folder / path).is_file())]


def read_any(folder: Path) -> list[SourceFile]:
    """None where there are none."""
    home = folder / FOLDER
    return read_sources(folder) if home.is_dir() and any(_paths(home)) else []


def _paths(home: Path) -> Iterator[Path]:
    is_state_folder = home == state_folder()  # in the home folder, where config.yaml is dstack's own
    for folder in (home, home / "workflows"):
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                own = is_state_folder and path.name == "config.yaml"
                if path.suffix in _SUFFIXES and not own and not path.is_dir():
                    yield path


def _read(folder: Path, path: Path) -> SourceFile:
    name = path.relative_to(folder).as_posix()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"can't read {name}: {error.strerror or error}", "make it a readable file") from error
    if len(data) > _LARGEST:
        raise ConfigurationError(
            f"{name} has {len(data)} bytes, more than any workflow file needs", "is it the right file?"
        )
    try:
        return {"path": name, "text": data.decode("utf-8-sig")}
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{name}:{line}: not UTF-8 text", "save it as UTF-8") from error
