"""Whether the store can be used from this machine: said once, by whoever is first, in a file that the server's command reads."""

from __future__ import annotations

import os
import threading
from pathlib import Path

READY = "ready"


class Verdict:
    """READY, or why not. The file is there before its words are: an empty one says nothing yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    @property
    def words(self) -> str:
        """ "" while there are none. Raises OSError."""
        try:
            return self._path.read_text()
        except FileNotFoundError:
            return ""

    def begin(self) -> None:
        """Removes what one that was killed left without its words. Raises OSError."""
        if not self.words:
            self._path.unlink(missing_ok=True)

    def settle(self, words: str) -> bool:
        """False where something was said before. Raises OSError."""
        with self._lock:
            try:
                file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                return False
            try:
                os.write(file, words.encode())
            except OSError:
                self._path.unlink()
                raise
            finally:
                os.close(file)
            return True
