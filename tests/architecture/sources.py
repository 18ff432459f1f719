"""The repository's files, as the architecture tests see them."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dstack_cloud"


@functools.cache
def repository_files() -> tuple[Path, ...]:
    """What Git tracks, or would once it is added; without Git (an unpacked release) everything that isn't hidden."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(listing, capture_output=True, check=False) if (ROOT / ".git").exists() else None
    if answer is None or answer.returncode:
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file()]
        return tuple(ROOT / name for name in names if not any(part.startswith((".", "__py")) for part in name.parts))
    return tuple(path for name in answer.stdout.decode().split("\0") if name and (path := ROOT / name).is_file())


@functools.cache
def python_files(*folders: str) -> tuple[Path, ...]:
    """The Python files below these folders of the repository."""
    roots = [ROOT / folder for folder in folders]
    return tuple(
        path for path in repository_files() if path.suffix == ".py" and any(root in path.parents for root in roots)
    )


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")
