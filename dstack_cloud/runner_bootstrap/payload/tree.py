"""Walks what a job left behind: files, folders and links below one folder, links never followed."""

# Plain strings for paths: a Path for each of a hundred thousand files doubles the time.
# ruff: noqa: PTH115, PTH118, PTH208

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

Warn = Callable[[str], None]


class Entry(NamedTuple):
    """`name` is relative to where the walk began, "" for the beginning itself; `target` is a link's text."""

    name: str
    path: str
    info: os.stat_result
    target: str = ""

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.info.st_mode)


def walk(top: str, warn: Warn) -> Iterator[Entry]:
    """The top and all below it, a folder before its contents, names sorted. What vanishes or can't be read is warned of."""
    pending = [("", top)]
    while pending:
        name, path = pending.pop()
        try:
            info = os.lstat(path)
            kind = stat.S_IFMT(info.st_mode)
            if kind == stat.S_IFLNK:
                yield Entry(name, path, info, os.readlink(path))
            elif kind in (stat.S_IFREG, stat.S_IFDIR):
                yield Entry(name, path, info)
            else:
                warn(f"{path} is neither a file, a folder nor a link: left out")
            if kind == stat.S_IFDIR:
                children = sorted(os.listdir(path), reverse=True)
                pending += [(f"{name}/{child}" if name else child, os.path.join(path, child)) for child in children]
        except OSError as error:
            warn(f"{path} couldn't be read and was left out: {error.strerror}")
