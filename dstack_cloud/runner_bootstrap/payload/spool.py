"""The job's log on disk: exact bytes in one file, and an index of when they came."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# a follower sees a write after half of this on average; nobody looks faster than that
WATCHED_SECONDS = 0.01
UNWATCHED_SECONDS = 0.25
INDEX_SECONDS = 1.0
CHUNK = 2**16


class Spool:
    """Appended to by others (the job's output pipe, a container's attached stream); read from any offset at the same time."""

    def __init__(self, log: Path, times: Path) -> None:
        self.log = log
        self.times = times
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        self._grown = threading.Condition()
        self._size = log.stat().st_size
        self._indexed_at = 0.0
        self._followers = 0
        self._complete = False

    def open_for_append(self) -> int:
        """A file descriptor; the caller closes it."""
        return os.open(self.log, os.O_WRONLY | os.O_APPEND)

    @property
    def size(self) -> int:
        return self.log.stat().st_size

    def start(self) -> None:
        threading.Thread(target=self._watch, name="spool", daemon=True).start()

    def complete(self) -> None:
        """Nothing will be written any more: followers end behind the last byte."""
        self._look()
        with self._grown:
            self._complete = True
            self._grown.notify_all()

    def read(self, offset: int, end: int) -> Iterator[bytes]:
        """The bytes from `offset` up to `end`, which must have been written."""
        with self.log.open("rb") as file:
            file.seek(offset)
            while offset < end and (chunk := file.read(min(CHUNK, end - offset))):
                offset += len(chunk)
                yield chunk

    def follow(self, offset: int, tick: float = 1.0) -> Iterator[bytes]:
        """Bytes from `offset` as they come, until the log is complete; b"" each `tick` seconds of silence."""
        with self.log.open("rb", buffering=0) as file:
            file.seek(offset)
            with self._grown:
                self._followers += 1
                self._grown.notify_all()
            try:
                while True:
                    complete = self._complete
                    while chunk := file.read(CHUNK):
                        offset += len(chunk)
                        yield chunk
                    if complete:
                        return
                    with self._grown:
                        if self._size <= offset and not self._complete and not self._grown.wait(tick):
                            yield b""
            finally:
                with self._grown:
                    self._followers -= 1

    def _watch(self) -> None:
        while not self._complete:
            self._look()
            with self._grown:
                if not self._followers:
                    self._grown.wait(UNWATCHED_SECONDS)
            time.sleep(WATCHED_SECONDS)

    def _look(self) -> None:
        try:
            size = self.size
        except FileNotFoundError:
            return  # the whole folder was removed: the runner is about to end
        with self._grown:
            if size == self._size:
                return
            before, self._size = self._size, size
            self._grown.notify_all()
            now = time.time()
            if now - self._indexed_at >= INDEX_SECONDS:
                self._indexed_at = now
                self._index(before, now)

    def _index(self, offset: int, now: float) -> None:
        try:
            with self.times.open("a") as file:
                file.write(f"{offset} {int(now * 1000)}\n")
        except OSError as error:
            # a full disk, or a folder that was removed: `logs --since` gets rougher, and the log itself goes on
            print(f"the log's times can't be kept: {error}", file=sys.stderr)
