"""The life of a job and of an instance. Only these tables decide which change is legal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class JobStatus(str, Enum):
    PENDING = "pending"
    SUBMITTED = "submitted"
    PROVISIONING = "provisioning"
    DOWNLOADING = "downloading"
    RUNNING = "running"
    UPLOADING = "uploading"
    STOPPING = "stopping"
    ABORTING = "aborting"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    ABORTED = "aborted"

    @property
    def finished(self) -> bool:
        return self in FINISHED

    def __str__(self) -> str:
        return self.value


class InstanceStatus(str, Enum):
    """`requested`: the intent is committed, the cloud may or may not have it. `refused`: it never came to be."""

    REQUESTED = "requested"
    STARTING = "starting"
    BUSY = "busy"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    REFUSED = "refused"

    @property
    def alive(self) -> bool:
        """It may cost money."""
        return self not in (InstanceStatus.TERMINATED, InstanceStatus.REFUSED)

    def __str__(self) -> str:
        return self.value


class Ending(str, Enum):
    """Why a machine ended before its job did. `interrupted`: its cloud took it back, with notice; `lost`: it went, or stayed out
    of reach, without a last word; `mute`: it never answered; `failed`: for what another machine wouldn't mend."""

    NONE = ""
    INTERRUPTED = "interrupted"
    LOST = "lost"
    MUTE = "mute"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


_J = JobStatus
_I = InstanceStatus

FINISHED = frozenset({_J.DONE, _J.FAILED, _J.STOPPED, _J.ABORTED})
_ENDINGS = frozenset({_J.FAILED, _J.STOPPED, _J.ABORTED})
_LEAVING = frozenset({_J.STOPPING, _J.ABORTING, _J.PENDING})

JOB_TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    _J.PENDING: frozenset({_J.SUBMITTED}) | _ENDINGS,
    _J.SUBMITTED: frozenset({_J.PROVISIONING, _J.PENDING}) | _ENDINGS,
    # a runner is looked at now and then: what it went through in between is never seen
    _J.PROVISIONING: frozenset({_J.DOWNLOADING, _J.RUNNING, _J.UPLOADING, _J.DONE}) | _LEAVING | _ENDINGS,
    _J.DOWNLOADING: frozenset({_J.RUNNING, _J.UPLOADING, _J.DONE}) | _LEAVING | _ENDINGS,
    _J.RUNNING: frozenset({_J.UPLOADING, _J.DONE}) | _LEAVING | _ENDINGS,
    _J.UPLOADING: frozenset({_J.DONE}) | _LEAVING | _ENDINGS,
    # back to pending: one of several nodes that was ended because another lost its machine
    _J.STOPPING: frozenset({_J.ABORTING, _J.DONE, _J.PENDING}) | _ENDINGS,
    _J.ABORTING: frozenset({_J.ABORTED, _J.DONE, _J.FAILED, _J.STOPPED}),
    # only `dstack resume` and `dstack restart` do this: nothing comes back by itself
    **{status: frozenset({_J.PENDING}) for status in FINISHED},
}

INSTANCE_TRANSITIONS: Mapping[InstanceStatus, frozenset[InstanceStatus]] = {
    _I.REQUESTED: frozenset({_I.STARTING, _I.REFUSED, _I.TERMINATING}),
    # some clouds say only after a while that there is no room
    _I.STARTING: frozenset({_I.BUSY, _I.REFUSED, _I.TERMINATING, _I.TERMINATED}),
    _I.BUSY: frozenset({_I.TERMINATING, _I.TERMINATED}),
    _I.TERMINATING: frozenset({_I.TERMINATED}),
    _I.TERMINATED: frozenset(),
    _I.REFUSED: frozenset(),
}


class IllegalTransition(ValueError):
    """A change that the tables don't have: a bug, never a user's mistake."""


def check_job(current: JobStatus, new: JobStatus) -> JobStatus:
    """`new`, if a job may go there from `current` (staying is always legal)."""
    if new is not current and new not in JOB_TRANSITIONS[current]:
        raise IllegalTransition(f"a job can't go from {current} to {new}")
    return new


def check_instance(current: InstanceStatus, new: InstanceStatus) -> InstanceStatus:
    if new is not current and new not in INSTANCE_TRANSITIONS[current]:
        raise IllegalTransition(f"an instance can't go from {current} to {new}")
    return new
