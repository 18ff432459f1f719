"""Finds the Python a job asked for, and puts a private environment of it first in the job's PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PROBE = (
    "import sys; print('%d.%d' % sys.version_info[:2]); print(getattr(sys, '_base_executable', None) or sys.executable)"
)
PROBE_SECONDS = 20.0
# names the packages of the active virtual environment (https://docs.python.org/3/library/site.html)
ACTIVE = "dstack-active.pth"
OWN_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# where version managers and packagers keep interpreters that aren't on PATH
USUAL_PLACES = (
    "~/.pyenv/versions/{version}.*/bin",
    "~/.local/share/uv/python/cpython-{version}.*/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/opt/homebrew/bin",
    "/opt/python/{version}*/bin",
)


def find_interpreter(version: str | None, environ: Mapping[str, str] | None = None) -> Path | None:
    """A Python of this version (`3.11`; None: of any) outside a virtual environment; None where there is none."""
    env = os.environ if environ is None else environ
    if version in (None, OWN_VERSION):
        return Path(getattr(sys, "_base_executable", None) or sys.executable)
    for candidate in _candidates(str(version), env):
        answer = _ask(candidate)
        if answer and answer[0] == version:
            return Path(answer[1])
    return None


def where_looked(version: str) -> str:
    """For the message about a missing one."""
    return (
        f"`python{version}` on PATH, in ~/.pyenv/versions, ~/.local/share/uv/python, /usr/local/bin, /usr/bin and /opt"
    )


def active_packages(version: str, path: str) -> Path | None:
    """Where the virtual environment whose `python` comes first in `path` has its packages; None where it is none, or of another
    version. Its own `bin` says where it is: what the link there leads to is the interpreter that it was made of."""
    first = shutil.which("python", path=path)
    if first is None:
        return None
    place = Path(first).parent.parent
    packages = place / "lib" / f"python{version}" / "site-packages"
    return packages if (place / "pyvenv.cfg").is_file() and packages.is_dir() else None


def make_environment(python: Path, version: str, folder: Path, active: Path | None = None) -> Path:
    """A virtual environment that also sees the interpreter's own packages, and those of the `active` one before them; returns its
    folder of programs.

    Written by hand, for `python -m venv` takes a hundred times as long. What the job installs stays inside of it.
    """
    programs = folder / "bin"
    packages = folder / "lib" / f"python{version}" / "site-packages"
    for path in (programs, packages):
        path.mkdir(parents=True, exist_ok=True)
    config = f"home = {python.parent}\ninclude-system-site-packages = true\nversion = {version}\n"
    (folder / "pyvenv.cfg").write_text(config)
    for name in ("python", "python3", f"python{version}"):
        _replace_link(programs / name, python)
    _replace_link(folder / "lib64", Path("lib"))
    if active is not None:
        # in this way its editable packages are seen, too
        (packages / ACTIVE).write_text(f"# {active}\nimport site; site.addsitedir({str(active)!r})\n")
    for name in ("pip", "pip3"):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec "{programs}/python" -m pip "$@"\n')
        script.chmod(0o755)
    return programs


def seen_beside(folder: Path) -> list[Path]:
    """The active environment's packages that the one in `folder` was made to see."""
    return [Path(file.read_text().splitlines()[0][2:]) for file in folder.glob(f"lib/*/*/{ACTIVE}")]


def version_of(python: Path) -> str:
    answer = _ask(python)
    return answer[0] if answer else OWN_VERSION


def _candidates(version: str, env: Mapping[str, str]) -> Iterator[Path]:
    name = f"python{version}"
    for place in USUAL_PLACES:
        pattern = str(Path(place).expanduser()).format(version=version)
        yield from sorted(Path("/").glob(f"{pattern[1:]}/{name}"), reverse=True)
    # last: a version manager's shim answers slowly, or for another version
    for folder in env.get("PATH", "").split(os.pathsep):
        if found := shutil.which(name, path=folder):
            yield Path(found)


def _ask(python: Path) -> list[str] | None:
    """[version, path of the real interpreter]; None where it doesn't run."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", PROBE],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    return lines if done.returncode == 0 and len(lines) == 2 else None


def _replace_link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)
