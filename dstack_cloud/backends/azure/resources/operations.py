"""Long-running operations under way: where each is asked after, kept on disk, so that a server that starts anew goes on asking."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)


class Operations:
    """By the name of the machine that is being made. Threads share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, name: str, url: str) -> None:
        """A state folder that is full must not stop a launch: then the machine itself is asked after."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_text(url)
        except OSError as wrong:
            log.info("%s can't be kept: %s", self._folder / name, wrong)

    def recall(self, name: str) -> str:
        """ "" where none is known."""
        try:
            return (self._folder / name).read_text()
        except OSError:
            return ""

    def forget(self, name: str) -> None:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as wrong:
            log.info("%s stays: %s", self._folder / name, wrong)
