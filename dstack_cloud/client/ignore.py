"""Which paths `.gitignore` and `.dstackignore` leave out, decided folder by folder as Git does it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

IGNORE_FILES = (".gitignore", ".dstackignore")
_DESCENDANT = "ps_d"  # pathspec's name for the slash behind a folder that a pattern names


class Rules:
    """The patterns of one folder. `base` is the length of the folder's own path plus its slash."""

    def __init__(self, lines: Iterable[str], base: int = 0) -> None:
        self._base = base
        self._patterns = [pattern for line in lines for pattern in _compile(line)]
        sources = (regex.pattern.replace(f"?P<{_DESCENDANT}>", "?:") for _, regex in self._patterns)
        self._any = re.compile("|".join(f"(?:{source})" for source in sources))

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def decide(self, path: str, is_folder: bool) -> bool | None:
        """True: left out, False: kept by a `!` pattern, None: this folder's patterns say nothing."""
        path = path[self._base :]
        if not self._any.match(f"{path}/" if is_folder else path):
            return None
        for ignored, regex in reversed(self._patterns):
            if _names(regex, path, is_folder):
                return ignored
        return None


def _compile(line: str) -> list[tuple[bool, re.Pattern[str]]]:
    from pathspec import GitIgnoreSpec

    try:
        patterns = GitIgnoreSpec.from_lines([line.rstrip("\r\n")]).patterns
    except ValueError:  # Git passes over what is no pattern ("!" alone, an open bracket)
        return []
    return [(bool(p.include), p.regex) for p in patterns if p.include is not None and p.regex is not None]


def _names(regex: re.Pattern[str], path: str, is_folder: bool) -> bool:
    """Whether the pattern names this very path. One that names a folder above it doesn't count: that was asked there."""
    found = regex.match(path)
    if found and not _is_descendant(found):
        return True
    if not is_folder:
        return False
    found = regex.match(f"{path}/")
    return bool(found and _is_descendant(found) and found.end() == len(path) + 1)


def _is_descendant(found: re.Match[str]) -> bool:
    return _DESCENDANT in found.re.groupindex and found.group(_DESCENDANT) is not None


def read_rules(folder: str, base: int, names: Iterable[str] = IGNORE_FILES) -> Rules | None:
    """The rules in the ignore files `names` of a folder, the later file deciding; None where there are none."""
    lines = [line for name in names for line in _lines(os.path.join(folder, name))]  # noqa: PTH118 - hot path
    rules = Rules(lines, base) if lines else None
    return rules or None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - hot path
            return file.read().splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []


class Enclosing:
    """The ignore files of a Git work tree around the working folder: those above it and `.git/info/exclude`."""

    def __init__(self, folder: Path) -> None:
        top = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)
        self._inside = folder.relative_to(top).as_posix() if top and top != folder else ""
        self.levels: list[tuple[Rules, str]] = []
        if top:
            self._read(folder, top)
        if self._inside and self._leaves_out_the_folder():
            self.levels = []  # who works in an ignored folder means its content all the same

    def _read(self, folder: Path, top: Path) -> None:
        excluded = _lines(str(_git_folder(top / ".git") / "info" / "exclude"))
        self._add(Rules(excluded), self._inside)
        above = [place for place in reversed(folder.parents) if place.is_relative_to(top)]
        for place in above:
            rules = read_rules(str(place), 0)
            self._add(rules, folder.relative_to(place).as_posix())

    def _add(self, rules: Rules | None, prefix: str) -> None:
        if rules:
            self.levels.append((rules, f"{prefix}/" if prefix else ""))

    def _leaves_out_the_folder(self) -> bool:
        for rules, prefix in self.levels:
            parts = prefix.rstrip("/").split("/")
            if any(rules.decide("/".join(parts[: n + 1]), True) for n in range(len(parts))):
                return True
        return False

    def ignores(self, path: str, is_folder: bool) -> bool:
        """`path` is relative to the working folder."""
        for rules, prefix in reversed(self.levels):
            decision = rules.decide(prefix + path, is_folder)
            if decision is not None:
                return decision
        return False


def _git_folder(marker: Path) -> Path:
    """Where Git keeps its files: `.git`, or what a work tree's or submodule's `.git` file points to."""
    if marker.is_dir():
        return marker
    text = marker.read_text(encoding="utf-8", errors="surrogateescape")
    folder = marker.parent / text.partition("gitdir:")[2].strip()
    shared = folder / "commondir"
    return folder / shared.read_text(encoding="utf-8").strip() if shared.is_file() else folder
