"""The decisions, as pure functions of what was read. No I/O, no clock of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus, JobStatus, check_job

# an error that the user must fix: the next offer of the same backend would say the same
FINAL_REFUSALS = frozenset({"NotAuthorized", "InvalidConfiguration"})

_PHASES: Mapping[str, JobStatus] = {
    "downloading": JobStatus.DOWNLOADING,
    "running": JobStatus.RUNNING,
    "uploading": JobStatus.UPLOADING,
}

_REASONS: Mapping[str, str] = {
    "max_duration": "it ran longer than its max_duration",
    "out_of_memory": "out of memory",
    "image": "its image can't be had",
    "input": "its inputs couldn't be unpacked",
    "start": "it couldn't be started",
    "output": "its outputs couldn't be saved",
    "runner": "the runner failed",
}


# for these the runner's own message is the whole sentence
_SAID = frozenset({"max_duration", "out_of_memory", "image"})


@dataclass(frozen=True)
class RunnerReport:
    """The part of a runner's state that decides something."""

    phase: str
    message: str = ""
    exit_code: int | None = None
    reason: str = ""
    started_at: float | None = None


def launch_attempt(job: Job, launches: Sequence[Instance]) -> int:
    """The number of the attempt that the next launch belongs to: refused launches use up none."""
    used = [launch for launch in launches if launch.attempt == job.attempt]
    if job.attempt and all(launch.status is InstanceStatus.REFUSED for launch in used):
        return job.attempt
    return job.attempt + 1


def next_offer(offers: Sequence[Offer], refused: Sequence[Instance]) -> Offer | None:
    """The cheapest offer not refused yet in this attempt."""
    tried = {launch.offer for launch in refused if launch.status is InstanceStatus.REFUSED}
    closed = {launch.offer.backend for launch in refused if refusal_code(launch) in FINAL_REFUSALS}
    left = [offer for offer in offers if offer not in tried and offer.backend not in closed]
    return min(left, key=lambda offer: offer.sort_key, default=None)


def refusal_code(launch: Instance) -> str:
    """The error class at the head of `wrong`, "" where it wasn't refused."""
    return launch.wrong.partition(":")[0] if launch.status is InstanceStatus.REFUSED else ""


def no_offer_message(refused: Sequence[Instance]) -> str:
    """ "11 offers tried: 8 NoCapacity, 2 QuotaExceeded; last: …"."""
    if not refused:
        return "no offer fits what the workflow asks for"
    if len(refused) == 1:
        return refused[0].wrong.partition(": ")[2]
    counts = Counter(refusal_code(launch) for launch in refused)
    kinds = ", ".join(f"{count} {code}" for code, count in counts.most_common())
    return f"{len(refused)} offers tried: {kinds}; last: {refused[-1].wrong.partition(': ')[2]}"


def stopped(job: Job, now: float) -> Job:
    """The end of a job that was asked to stop and has nothing running."""
    status = JobStatus.ABORTED if job.stop_request == "abort" else JobStatus.STOPPED
    return finish(job, status, now, reason="aborted" if status is JobStatus.ABORTED else "stopped")


def finish(job: Job, status: JobStatus, now: float, *, reason: str = "", message: str = "") -> Job:
    check_job(job.status, status)
    return replace(job, status=status, finished_at=now, reason=reason, message=message)


def follow_report(job: Job, report: RunnerReport, now: float) -> Job:
    """The job after what its runner reported."""
    started = job.started_at if job.started_at is not None else report.started_at
    job = replace(job, started_at=started, exit_code=report.exit_code)
    if report.phase == "finished":
        return _ended(job, report, now)
    status = _PHASES.get(report.phase)
    stopping = job.status in (JobStatus.STOPPING, JobStatus.ABORTING)
    if status is None or stopping:
        return replace(job, message="" if stopping else report.message)
    return replace(job, status=check_job(job.status, status), message=report.message)


def _ended(job: Job, report: RunnerReport, now: float) -> Job:
    if report.reason in ("stopped", "aborted"):
        status = JobStatus.STOPPED if report.reason == "stopped" else JobStatus.ABORTED
        return finish(job, status, now, reason=report.reason, message=report.message)
    if report.reason == "" and report.exit_code == 0:
        return finish(job, JobStatus.DONE, now, message=report.message)
    if report.reason == "":
        parts = [f"exit code {report.exit_code}", report.message]
        return finish(job, JobStatus.FAILED, now, message="; ".join(part for part in parts if part))
    text = _REASONS.get(report.reason, report.reason)
    message = f"{text}: {report.message}" if report.message else text
    if report.message and report.reason in _SAID:
        message = report.message
    return finish(job, JobStatus.FAILED, now, reason=report.reason, message=message)


def wanted(instance: Instance, job: Job | None) -> bool:
    """Whether the instance still has work: its job is unfinished and is this instance's."""
    return job is not None and not job.status.finished and job.instance_id == instance.id


def lost_message(instance: Instance) -> str:
    where = f"{instance.offer.instance_type} on {instance.offer.backend}"
    return f"the machine ({where}) was lost: {instance.wrong or 'it ended without a word'}"
