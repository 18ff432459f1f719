"""What a job's setup made, on its way between the runner and the store. It only saves time: whatever fails, the job goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from dstack_cloud import errors
from dstack_cloud.courier.errand import Errand
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink, RunnerState
from dstack_cloud.storage import setups
from dstack_cloud.storage.base import Store

log = logging.getLogger(__name__)

SETUP = "setup"
NOTHING: tuple[bytes, ...] = ()


class Unwanted(Exception):
    """Nobody waits for it any more."""


class Setups:
    """Of one attempt: sent once where the runner asks for it, saved once where it was built, meanwhile while the job runs."""

    def __init__(self, store: Store, errand: Errand) -> None:
        self._store = store
        self._errand = errand
        self._thread: threading.Thread | None = None
        self._saved = False
        self._unwanted = threading.Event()

    def serve(self, link: RunnerLink, state: RunnerState) -> None:
        """Raises LinkError, StoreError."""
        said = state.setup or {}
        if state.phase == "downloading" and said.get("is") == "wanted":
            self._send(link, str(said["key"]), packed=bool(said.get("packed")))
        elif state.phase == "running" and _to_be_saved(state) and self._thread is None:
            self._begin(link, str(said["key"]))

    def finish(self, link: RunnerLink, state: RunnerState) -> None:
        """Of a job that has ended: waits until it is saved, and tries once more where that failed meanwhile. A machine that is taken back
        has no time for it."""
        wanted = _to_be_saved(state) and state.reason not in ("aborted", "interrupted")
        if not wanted:
            self.stop()
        if self._thread is not None:
            self._thread.join()
        if wanted and not self._saved:
            self._begin(link, str((state.setup or {})["key"])).join()

    def stop(self) -> None:
        self._unwanted.set()

    def _send(self, link: RunnerLink, key: str, *, packed: bool) -> None:
        """What the runner can unpack itself goes as it lies there: it is a third of the bytes, and half of the work."""
        found = setups.open_setup if packed else setups.restore_setup
        try:
            link.put_input(SETUP, found(self._store, self._errand.workflow, key) or NOTHING)
        except errors.StoreDamaged as error:
            log.warning("%s: %s", self._errand.attempt_id, error.summary)
            link.put_input(SETUP, NOTHING)

    def _begin(self, link: RunnerLink, key: str) -> threading.Thread:
        self._thread = threading.Thread(target=self._save, args=(link, key), name="setup", daemon=True)
        self._thread.start()
        return self._thread

    def _save(self, link: RunnerLink, key: str) -> None:
        try:
            setups.save_setup(self._store, self._errand.workflow, key, self._wanted(link.output(SETUP)))
            self._saved = True
        except (Unwanted, LinkError, errors.DstackError, OSError) as error:
            log.warning("the setup of %s isn't kept in the store: %s", self._errand.attempt_id, error)

    def _wanted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._unwanted.is_set():
                raise Unwanted
            yield chunk


def _to_be_saved(state: RunnerState) -> bool:
    said = state.setup or {}
    return said.get("is") == "built" and bool(said.get("travels"))
