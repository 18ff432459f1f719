"""Interruptions that have been announced, or will be: a small file each, so that a restart of the server forgets none."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dstack_cloud.errors import BackendError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Notice:
    """UTC seconds: the machine is told at `at`, and it ends at `ends_at`. `over`: it has ended."""

    at: float
    ends_at: float
    over: bool = False


class Notices:
    """One file a machine below `folder`; several processes may look at them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, ref: str, notice: Notice) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f".{ref}"
        partial.write_text(json.dumps(asdict(notice)))
        partial.replace(self._folder / f"{ref}.json")

    def get(self, ref: str) -> Notice | None:
        try:
            return Notice(**json.loads((self._folder / f"{ref}.json").read_text()))
        except FileNotFoundError:
            return None

    def forget(self, ref: str) -> None:
        (self._folder / f"{ref}.json").unlink(missing_ok=True)

    def coming(self) -> dict[str, Notice]:
        """Those whose machine hasn't ended yet."""
        found = {path.stem: self.get(path.stem) for path in self._folder.glob("*.json")}
        return {ref: notice for ref, notice in found.items() if notice is not None and not notice.over}


class Timetable:
    """A thread that ends each machine when it was announced, while there is a notice. `end(ref)` does it."""

    def __init__(self, notices: Notices, end: Callable[[str], None]) -> None:
        self._notices = notices
        self._end = end
        self._changed = threading.Condition()
        self._closed = False
        self._running = False

    def look(self) -> None:
        """To be called when a notice was set."""
        with self._changed:
            if not self._running and not self._closed and self._notices.coming():
                self._running = True
                threading.Thread(target=self._keep, name="sandbox-interruptions", daemon=True).start()
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _keep(self) -> None:
        while True:
            wait = self._pass()
            with self._changed:
                if self._closed or not self._notices.coming():
                    self._running = False
                    return
                self._changed.wait(wait)

    def _pass(self) -> float:
        """Ends what is due; seconds until the next one is."""
        wait = RETRY_SECONDS
        for ref, notice in self._notices.coming().items():
            left = notice.ends_at - time.time()
            if left > 0:
                wait = min(wait, left)
                continue
            try:
                self._end(ref)
            except BackendError as wrong:
                log.warning("the machine %s, whose end was announced, can't be ended now: %s", ref, wrong.summary)
            else:
                self._notices.set(ref, replace(notice, over=True))
        return wait
