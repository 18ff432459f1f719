"""What was learnt from a cloud, kept in memory and in a file: old knowledge answers at once while newer is fetched."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from dstack_cloud.errors import BackendError

log = logging.getLogger(__name__)

Data = TypeVar("Data")

RETRY_SECONDS = 600.0


def digest(*parts: str) -> str:
    """The name of a folder for what one login, with one choice of settings, sees."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


class Shelf(Generic[Data]):
    """One JSON value that grows old. Younger than `fresh` seconds it is simply given; younger than `usable` it is given and
    renewed in the background; else whoever asks waits for a new one. Threads share it.

    `otherwise` is given where nothing can be fetched; that is tried again in the background every ten minutes.
    """

    def __init__(
        self, path: Path, fetch: Callable[[], Data], *, fresh: float, usable: float, otherwise: Data | None = None
    ) -> None:
        self._path, self._fetch = path, fetch
        self._fresh, self._usable, self._otherwise = fresh, usable, otherwise
        self._lock = threading.Lock()
        self._renewing = threading.Lock()
        self._known: tuple[Data, float] | None = None  # and when it was fetched, in seconds since the epoch
        self._quiet_until = 0.0

    @property
    def age(self) -> float | None:
        """Seconds; None where nothing is known yet."""
        known = self._read()
        return None if known is None else max(0.0, time.time() - known[1])

    @property
    def read_at(self) -> float | None:
        """When it was fetched, UTC seconds; None where it never was, also where `otherwise` stands for it."""
        known = self._read()
        return None if known is None or known[0] is self._otherwise else known[1]

    def get(self) -> Data:
        """Raises what fetching raises, where it must be waited for."""
        known = self._usable_now()
        if known is None:
            with self._lock:
                known = self._usable_now()  # another thread may have fetched it meanwhile
                return self._renew() if known is None else known[0]
        now = time.time()
        if now - known[1] > self._fresh and now > self._quiet_until and self._renewing.acquire(blocking=False):
            threading.Thread(target=self._renew_quietly, name=f"renew-{self._path.stem}", daemon=True).start()
        return known[0]

    def _usable_now(self) -> tuple[Data, float] | None:
        known = self._read()
        return None if known is None or time.time() - known[1] > self._usable else known

    def _renew(self) -> Data:
        try:
            data = self._fetch()
        except BackendError as wrong:
            if self._otherwise is None:
                raise
            log.warning("%s is unknown: %s", self._path.stem, wrong.summary)
            self._quiet_until = time.time() + RETRY_SECONDS
            if self._usable_now() is None:
                self._known = self._otherwise, time.time() - self._fresh
            return self._otherwise
        self._known = data, time.time()
        self._write(*self._known)
        return data

    def _renew_quietly(self) -> None:
        try:
            self._renew()
        except BackendError as wrong:
            log.info("%s stays as it was: %s", self._path.stem, wrong.summary)
        finally:
            self._renewing.release()

    def _read(self) -> tuple[Data, float] | None:
        if self._known is None:
            try:
                kept = json.loads(self._path.read_text())
                self._known = kept["data"], float(kept["at"])
            except FileNotFoundError:
                pass
            except (OSError, ValueError, KeyError, TypeError) as wrong:
                log.info("%s can't be read, and will be fetched again: %s", self._path, wrong)
        return self._known

    def _write(self, data: Data, at: float) -> None:
        """A state folder that is full must not stop a launch: the next server asks the cloud again."""
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps({"at": at, "data": data}))
            draft.replace(self._path)
        except OSError as wrong:
            if draft.exists():
                draft.unlink()
            log.info("%s can't be kept: %s", self._path, wrong)
