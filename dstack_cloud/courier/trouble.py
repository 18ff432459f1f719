"""When trying again is hopeless."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dstack_cloud import errors
from dstack_cloud.runner_bootstrap.link import LinkError

# so many times is an error looked at again that a later try shouldn't mend
TRIES = 3
# how long a store that fails may hold up a job that waits for its inputs, or a machine that waits for its outputs to be
# saved, seconds: the first costs a machine that does nothing, the second would cost the job's results
PATIENCE = {"downloading": 300.0, "uploading": 1800.0}


class Trouble:
    """How long, and how often, the same phase has failed."""

    def __init__(self, patience: Mapping[str, float] = PATIENCE) -> None:
        self._patience = patience
        self._phase = ""
        self._since = 0.0
        self._final = 0

    def hopeless(self, phase: str, error: Exception) -> bool:
        """Counts the error; whether it is time to give up."""
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._since, self._final = phase, now, 0
        retryable = isinstance(error, OSError) or (isinstance(error, errors.DstackError) and error.retryable)
        self._final += not retryable
        return self._final >= TRIES or self.is_overdue(phase)

    def is_overdue(self, phase: str) -> bool:
        """Whether the phase that failed last has done so for too long."""
        return time.monotonic() - self._since > self._patience[phase]


def is_unreachable(error: Exception) -> bool:
    """Whether it says that the runner, not the store, can't be had now."""
    if isinstance(error, LinkError):
        return error.unreachable
    return isinstance(error, (errors.RunnerUnreachable, errors.SshError))
