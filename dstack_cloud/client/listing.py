"""What belongs to a working folder: found quickly, without reading a file's content."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Literal, NamedTuple

from dstack_cloud.client.ignore import IGNORE_FILES, Enclosing, Rules, read_rules
from dstack_cloud.errors import UsageError


class Entry(NamedTuple):
    """`mode` is permission bits, `size` bytes. `detail` is a link's target, or a file's sha256 once it has been read.
    `modified_at`: of a file, in nanoseconds."""

    path: str
    kind: Literal["file", "dir", "link"]
    mode: int
    size: int
    detail: str = ""
    modified_at: int = 0


class Listing(NamedTuple):
    """Sorted by path. `warnings` are sentences about what was left out."""

    folder: Path
    entries: list[Entry]
    warnings: list[str]

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    def largest(self, count: int = 5) -> list[tuple[str, int]]:
        """The biggest entries of the folder with their bytes. One that is nearly all of its folder stands for it."""
        totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for entry in self.entries:
            if entry.kind != "file":
                continue
            parts = entry.path.split("/")
            for depth in range(len(parts)):
                name = "/".join(parts[: depth + 1]) + ("/" if depth + 1 < len(parts) else "")
                totals["/".join(parts[:depth])][name] += entry.size
        top = sorted(totals[""].items(), key=lambda item: -item[1])[:count]
        return [_narrow(totals, name, size) for name, size in top]


def _narrow(totals: dict[str, dict[str, int]], name: str, size: int) -> tuple[str, int]:
    while name.endswith("/"):
        inner, inner_size = max(totals[name[:-1]].items(), key=lambda item: item[1])
        if inner_size < 0.9 * size:
            break
        name, size = inner, inner_size
    return name, size


class _Walk:
    def __init__(self, folder: Path, exclude: Path) -> None:
        self.root = str(folder)
        self.excluded = os.path.realpath(exclude)
        self.excluded_name = os.path.basename(self.excluded)  # noqa: PTH119 - hot path
        self.enclosing = Enclosing(folder)
        self.entries: list[Entry] = []
        self.warnings: list[str] = []

    def run(self) -> None:
        pending: list[tuple[str, tuple[Rules, ...]]] = [("", ())]
        while pending:
            prefix, levels = pending.pop()
            found = self._list(prefix)
            if any(item.name in IGNORE_FILES for item in found):
                rules = read_rules(f"{self.root}/{prefix}", len(prefix))
                levels = (*levels, rules) if rules else levels
            for item in found:
                path = prefix + item.name
                if self._take(item, path, levels):
                    pending.append((f"{path}/", levels))

    def _list(self, prefix: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(f"{self.root}/{prefix}") as found:
                return list(found)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(prefix or ".", error) from error

    def _take(self, item: os.DirEntry[str], path: str, levels: tuple[Rules, ...]) -> bool:
        """Notes the entry; True where it is a folder to go into."""
        is_folder = item.is_dir(follow_symlinks=False)
        if item.name == ".git" or self._is_ignored(levels, path, is_folder):
            return False
        if is_folder and item.name == self.excluded_name and os.path.realpath(item.path) == self.excluded:
            self.warnings.append(f"{path}/ is left out: it is dstack's own state folder")
            return False
        try:
            entry = self._entry(item, path, is_folder)
        except FileNotFoundError:  # gone since the folder was listed
            return False
        if entry:
            self.entries.append(entry)
        return is_folder

    def _is_ignored(self, levels: tuple[Rules, ...], path: str, is_folder: bool) -> bool:
        if not levels and not self.enclosing.levels:
            return False
        for rules in reversed(levels):
            decision = rules.decide(path, is_folder)
            if decision is not None:
                return decision
        return self.enclosing.ignores(path, is_folder)

    def _entry(self, item: os.DirEntry[str], path: str, is_folder: bool) -> Entry | None:
        if item.is_symlink():
            return Entry(path, "link", 0o777, 0, os.readlink(item.path))  # noqa: PTH115 - hot path
        mode = item.stat(follow_symlinks=False).st_mode & 0o777
        if is_folder:
            return Entry(path, "dir", mode, 0)
        if item.is_file(follow_symlinks=False):
            info = item.stat(follow_symlinks=False)
            return Entry(path, "file", mode, info.st_size, "", info.st_mtime_ns)
        self.warnings.append(f"{path} is left out: it is a socket, pipe or device")
        return None


def scan(folder: Path, exclude: Path) -> Listing:
    """Everything below `folder` that its ignore files keep. Ignored folders aren't entered; `.git` and `exclude` (dstack's
    state folder) are left out. Raises UsageError for a folder that can't be listed."""
    walk = _Walk(folder, exclude)
    walk.run()
    walk.entries.sort(key=lambda entry: entry.path)
    return Listing(folder, walk.entries, walk.warnings)


def unreadable(path: str, error: OSError) -> UsageError:
    return UsageError(
        f"can't read {path}: {(error.strerror or str(error)).lower()}",
        "make it readable, or name it in .gitignore or .dstackignore so that it stays here",
    )
