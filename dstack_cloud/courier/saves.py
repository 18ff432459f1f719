"""A job's artifacts on their way into the store: whole at its end, and now and then while it runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.courier.errand import ARTIFACTS, Errand
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink
from dstack_cloud.storage import artifacts
from dstack_cloud.storage.base import Store

log = logging.getLogger(__name__)

# the runner's number for what it was restored from
RESTORED = 0
# so many attempts in a row may have come to nothing before one that began
AHEAD = 3


class BrokenOff(Exception):
    """Nobody wants this save any more."""


class Saves:
    """Each sends only what changed since the one before. At most one is under way."""

    def __init__(self, store: Store, errand: Errand) -> None:
        self._store = store
        self._errand = errand
        self._base: tuple[int, Manifest] | None = None
        self._due = time.monotonic() + (errand.sync or 0.0)
        self._thread: threading.Thread | None = None
        self._unwanted = threading.Event()

    def start_from(self, restored: Manifest | None) -> None:
        """What the runner was given to begin with."""
        if restored is not None and self._base is None:
            self._base = (RESTORED, restored)

    def save_if_due(self, link: RunnerLink) -> None:
        """Begins a save of the running job's artifacts where it is time for one. Returns at once."""
        busy = self._thread is not None and self._thread.is_alive()
        if self._errand.sync is None or busy or time.monotonic() < self._due:
            return
        self._thread = threading.Thread(target=self._save_running, args=(link,), name="save", daemon=True)
        self._thread.start()

    def finish(self, link: RunnerLink, *, complete: bool) -> None:
        """The last one. What a save that is still under way brings needn't be sent again, so it is waited for.

        Raises LinkError, RunnerError, StoreError, Conflict.
        """
        if self._thread is not None:
            self._thread.join()
        self._save(link, complete=complete)

    def settle(self) -> None:
        """The job is over: what was saved on the way goes where a person looks for it. Raises StoreError."""
        if self._errand.sync is None and not self._errand.restore:
            return
        self._refuse_if_given_up()
        # from now on the files aren't where the base says: whoever breaks off here begins anew, or with what was settled
        base, self._base = self._base, None
        settled = artifacts.settle(self._store, self._errand.job_place)
        if base and settled:
            self._base = (base[0], settled)

    def withdraw(self) -> None:
        """Of an aborted job nothing is kept that was saved on the way."""
        self._refuse_if_given_up()
        self.stop()
        if self._thread is not None:
            self._thread.join()
        artifacts.withdraw(self._store, self._errand.job_place)

    def stop(self) -> None:
        """Breaks off what is under way."""
        self._unwanted.set()

    def _save_running(self, link: RunnerLink) -> None:
        try:
            self._save(link, complete=False)
        except BrokenOff:
            pass
        except (LinkError, errors.DstackError, OSError) as error:
            # the next one, or the last, sends what this one didn't
            log.info("artifacts of %s: %s", self._errand.attempt_id, error)
        finally:
            self._due = time.monotonic() + (self._errand.sync or 0.0)

    def _save(self, link: RunnerLink, *, complete: bool) -> None:
        number, base = self._base or (None, None)
        output = link.output(ARTIFACTS, base=number)
        chunks = self._wanted(output)
        try:
            manifest = artifacts.save_artifacts(self._store, self._errand.place, chunks, base, complete=complete)
        except errors.RunnerError:
            # if it is the base that doesn't fit, the next stream does without
            self._base = None
            raise
        self._refuse_if_given_up()
        artifacts.publish(self._store, self._errand.job_place, manifest)
        self._base = None if output.sync is None else (output.sync, manifest)

    def _refuse_if_given_up(self) -> None:
        """A machine that was out of reach may still be at work when another has taken over: what that one builds upon must
        stay. Raises Conflict."""
        place = self._errand.place
        later = (replace(place, attempt=place.attempt + number + 1) for number in range(AHEAD))
        if any(self._store.exists(each.status) for each in later):
            raise errors.Conflict(f"attempt {place.attempt} was given up: a later one has begun")

    def _wanted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._unwanted.is_set():
                raise BrokenOff
            yield chunk
