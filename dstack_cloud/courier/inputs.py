"""What a runner waits for before the job starts: code, caches, the artifacts of jobs that it depends on, and on a later attempt
those that it saved so far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from dstack_cloud import errors
from dstack_cloud.courier.errand import ARTIFACTS, CACHES, CODE_INPUT, Errand
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink
from dstack_cloud.storage import artifacts, caches, code
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.layout import JobPlace

log = logging.getLogger(__name__)

# a tar archive ends with two blocks of zeros
EMPTY_TAR = bytes(1024)
# how often the runner is asked, while it is being sent something, whether it is still there; seconds
LOOK = 2.0
# so many are sent at once: an SSH connection has ten sessions at most, if its server isn't told otherwise (sshd's MaxSessions)
AT_ONCE = 6


class Inputs:
    """`restored` is the manifest that the input `artifacts` was made of."""

    def __init__(self, store: Store, errand: Errand) -> None:
        self._store = store
        self._errand = errand
        self.restored: Manifest | None = None
        self.sent = False

    def send(self, link: RunnerLink, wanted: Callable[[], bool], break_off: Callable[[], None]) -> None:
        """Side by side; each is answered when it is unpacked. Every two seconds `wanted` is asked whether the job still waits
        for them; `break_off` is called where it doesn't, or one failed: it closes the link. Raises LinkError, StoreError,
        NotFound."""
        names = self._errand.inputs
        with ThreadPoolExecutor(max_workers=min(max(len(names), 1), AT_ONCE), thread_name_prefix="input") as pool:
            waiting = {pool.submit(self._send_one, link, name) for name in names}
            try:
                while waiting:
                    done, waiting = wait(waiting, LOOK, FIRST_EXCEPTION)
                    for sent in done:
                        sent.result()
                    if waiting and not wanted():
                        # it was stopped: who asks the runner again learns the rest
                        raise LinkError("the job doesn't wait for its inputs any more", unreachable=True)
            except BaseException:
                # else the others would be waited for, perhaps on a machine that is no more
                break_off()
                raise
        self.sent = True

    def _send_one(self, link: RunnerLink, name: str) -> None:
        try:
            link.put_input(name, self._chunks(name))
        except errors.StoreDamaged as error:
            if not name.startswith(CACHES):
                raise
            # a cache only saves time: the job goes without, and saves a good one
            log.warning("%s: %s", self._errand.attempt_id, error.summary)
            link.put_input(name, (EMPTY_TAR,))

    def _chunks(self, name: str) -> Iterator[bytes]:
        if name == CODE_INPUT and self._errand.code:
            return code.read_code(self._store, self._errand.code)
        if name == ARTIFACTS:
            return self._saved_so_far()
        number = int(name.rpartition("-")[2])
        if not name.startswith(CACHES):
            return self._outputs(self._errand.deps[number])
        path = self._errand.caches[number]
        return caches.restore_cache(self._store, self._errand.workflow, path) or iter((EMPTY_TAR,))

    def _outputs(self, place: JobPlace) -> Iterator[bytes]:
        manifest = artifacts.load_manifest(self._store, place)
        if manifest is None:
            raise errors.NotFound(
                f"the artifacts of {place.run}.{place.job}, which it depends on, aren't in the store any more",
                "run it again",
            )
        return artifacts.archive(self._store, manifest)

    def _saved_so_far(self) -> Iterator[bytes]:
        self.restored = artifacts.load_manifest(self._store, self._errand.job_place)
        if self.restored is None:
            return iter((EMPTY_TAR,))
        return artifacts.archive(self._store, self.restored)
