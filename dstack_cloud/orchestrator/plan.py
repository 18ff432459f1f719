"""The decisions, as pure functions of what was read. No I/O, no clock of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dstack_cloud.courier.trouble import PATIENCE
from dstack_cloud.domain.refusals import code_of
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus, check_job
from dstack_cloud.orchestrator.placement import place_text

# machines that went without a word, and machines in a row that never answered, before a job is given up
MOST_LOST = 10
MOST_MUTE = 3
# the code of what ended a machine whose carrier gave up
STORE_FAILED = "StoreError"
# the `retry_seconds` of a job that is begun only once; a machine that never answered hasn't begun it
NEVER = 0
OUT_OF_TIME = "stopped because max_duration is over, which counts the running time of all attempts"

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
    """The part of a runner's state that decides something. `started_at` is within the attempt by our own clock; `noticed`:
    its cloud announced an interruption; `ran`: seconds from the job's start to its end, which was at `ended_at`."""

    phase: str
    message: str = ""
    exit_code: int | None = None
    reason: str = ""
    started_at: float | None = None
    noticed: bool = False
    ran: float | None = None
    ended_at: float | None = None


def launch_attempt(job: Job, launches: Sequence[Instance]) -> int:
    """The number of the attempt that the next launch belongs to: refused launches use up none, also where only one of several
    nodes was refused its machine."""
    last = {launch.job_id: launch for launch in launches if launch.attempt == job.attempt}
    refused = not last or any(launch.status is InstanceStatus.REFUSED for launch in last.values())
    if job.attempt and refused:
        return job.attempt
    return job.attempt + 1


def after_needs(job: Job, needed: Sequence[Job], now: float) -> tuple[Job, bool]:
    """(the job, whether it may start) where it needs others. It waits for all of them, and ends as soon as one has ended without
    having been done, or is no more. How long it looks for a machine counts from when it could."""
    gone = {need.id for need in job.needs} - {other.id for other in needed}
    if gone:
        message = f"the outputs of {min(gone)}, which it needs, were removed"
        return finish(job, JobStatus.FAILED, now, reason="dependency", message=message), False
    broken = [other for other in needed if other.status.finished and other.status is not JobStatus.DONE]
    if broken:
        first = min(broken, key=lambda other: other.finished_at or now)
        how = "failed" if first.status is JobStatus.FAILED else f"was {first.status}"
        return finish(job, first.status, now, reason="dependency", message=f"`{_called(first, job)}` {how}"), False
    waits = [_called(other, job) for other in needed if not other.status.finished]
    if waits:
        return replace(
            job, status=check_job(job.status, JobStatus.PENDING), message=f"waits for {', '.join(waits)}"
        ), False
    ends = [other.finished_at for other in needed if other.finished_at is not None]
    since = None if job.searching_since is None else max([job.searching_since, *ends])
    return replace(job, submitted_at=max([job.submitted_at, *ends]), searching_since=since), True


def _called(other: Job, job: Job) -> str:
    return other.name if other.run_name == job.run_name else other.id


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
    since = job.running_since if job.running_since is not None else report.started_at
    job = replace(job, started_at=started, running_since=since, exit_code=report.exit_code)
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


def ran_for(job: Job, now: float) -> float:
    """Seconds over all attempts: `max_duration` counts them together, so that interruptions can't make a job cost more."""
    return job.ran + (0.0 if job.running_since is None else max(now - job.running_since, 0.0))


def timed(job: Job, report: RunnerReport, now: float) -> Job:
    """With the running time of an attempt that is over: what passed since, while nobody looked, isn't the job's."""
    since = job.running_since if job.running_since is not None else report.started_at
    if since is None or report.ran is None:
        return job
    longest = max(now - since, 0.0)
    return replace(job, ran=job.ran + min(report.ran, longest), running_since=None, started_at=job.started_at or since)


def go_on(
    job: Job, ended: Instance, launches: Sequence[Instance], longest: int | None, now: float, who: str = ""
) -> Job:
    """After its machine was taken back or lost: back to the search for one, or the end, where it was asked to stop, has no time
    left (`longest`: seconds that it may run), isn't to be begun again, or loses every machine. `launches` are all of its, that
    one as it ended; `who`: "node 1: " where that was one of several."""
    if job.stop_request:
        return stopped(job, now)
    if longest is not None and ran_for(job, now) >= longest:
        return finish(job, JobStatus.FAILED, now, reason="max_duration", message=OUT_OF_TIME)
    if job.spec.retry_seconds == NEVER and ended.ending is not Ending.MUTE:
        message = f"{who}{_what_happened(ended)}; it isn't begun again, because its workflow says `retry: false`"
        reason = "interrupted" if ended.ending is Ending.INTERRUPTED else "lost"
        return finish(job, JobStatus.FAILED, now, reason=reason, message=message)
    if why := too_many_lost(since_resumed(job, launches)):
        return finish(job, JobStatus.FAILED, now, reason="lost", message=why)
    return resubmitted(job, ended, now, who)


def _what_happened(ended: Instance) -> str:
    where = place_text(ended.offer)
    if ended.ending is Ending.INTERRUPTED:
        return f"interrupted on {where}"
    return f"the machine was lost on {where}{f' ({ended.wrong})' if ended.wrong else ''}"


def resubmitted(job: Job, ended: Instance, now: float, who: str = "") -> Job:
    """The job goes on elsewhere, as its next attempt."""
    return replace(
        job,
        status=check_job(job.status, JobStatus.PENDING),
        message=f"{who}{_what_happened(ended)}; going on elsewhere",
        exit_code=None,
        reason="",
        instance_id="",
        ran=ran_for(job, now),
        running_since=None,
        searching_since=now,
        round=0,
    )


def resumed(job: Job, now: float, *, clear: bool = False) -> Job:
    """A job that has ended starts again by hand, as its next attempt: what it ran before counts for no limit. With `clear`, also
    of an earlier time when it didn't get as far as a machine, it has nothing of what it saved."""
    return replace(
        job,
        status=check_job(job.status, JobStatus.PENDING),
        stop_request="",
        instance_id="",
        exit_code=None,
        reason="",
        message="",
        finished_at=None,
        searching_since=now,
        resumed_at=now,
        clear=clear or job.clear,
        round=0,
        running_since=None,
        ran=0.0,
        next_check_at=now,
    )


def since_resumed(job: Job, launches: Sequence[Instance]) -> list[Instance]:
    """Those that count for where and how often it is tried."""
    return [launch for launch in launches if job.resumed_at is None or launch.created_at >= job.resumed_at]


def too_many_lost(launches: Sequence[Instance]) -> str:
    """Why the job isn't tried on yet another machine; "" while it is."""
    tried = _one_an_attempt([launch for launch in launches if launch.status is not InstanceStatus.REFUSED])
    lost = [launch for launch in tried if launch.ending in (Ending.LOST, Ending.MUTE)]
    mute = [launch for launch in tried[-MOST_MUTE:] if launch.ending is Ending.MUTE]
    if len(mute) >= MOST_MUTE:
        return f"{MOST_MUTE} machines in a row never answered: {_each(mute)}"
    if len(lost) >= MOST_LOST:
        return f"{len(lost)} machines were lost without notice: {_each(lost)}"
    return ""


def _one_an_attempt(launches: Sequence[Instance]) -> list[Instance]:
    """Of several nodes one that ended before its job did, where there is one."""
    chosen: dict[int, Instance] = {}
    for launch in launches:
        if launch.attempt not in chosen or chosen[launch.attempt].ending is Ending.NONE:
            chosen[launch.attempt] = launch
    return list(chosen.values())


def _each(launches: Sequence[Instance]) -> str:
    return "; ".join(f"attempt {each.attempt} on {place_text(each.offer)}: {each.wrong}" for each in launches)


def unsaved(
    job: Job, instance: Instance, report: RunnerReport | None, store: str, now: float
) -> tuple[str, str] | None:
    """(reason, message) where it was the store that failed, not the machine: another one wouldn't mend it. A carrier on the
    machine that gives up can tell nobody: its machine ends without a last word, so long after the job as it is patient."""
    if instance.ending is Ending.FAILED and code_of(instance.wrong) == STORE_FAILED:
        reason = "input" if job.status in (JobStatus.PROVISIONING, JobStatus.DOWNLOADING) else "output"
        return reason, f"{_REASONS[reason]}: {instance.wrong.partition(': ')[2]} ({store})"
    if instance.ending is not Ending.LOST or report is None or report.phase != "uploading" or report.noticed:
        return None
    tried = 0.0 if report.ended_at is None else (instance.terminated_at or now) - report.ended_at
    if tried <= PATIENCE["uploading"]:
        return None
    words = f"its machine has ended {tried / 60:.0f} minutes after the job, and could not save them in {store}"
    return "output", f"{_REASONS['output']}: {words}"


def wanted(instance: Instance, job: Job | None) -> bool:
    """Whether the instance still has work: its job is unfinished and is this instance's, and isn't to end before it began."""
    if job is None or job.status.finished or job.instance_id != instance.id:
        return False
    coming = instance.status in (InstanceStatus.REQUESTED, InstanceStatus.STARTING)
    return not (coming and job.status in (JobStatus.STOPPING, JobStatus.ABORTING))


def lost_message(instance: Instance) -> str:
    where = f"{instance.offer.instance_type} on {instance.offer.backend}"
    what = "failed" if instance.ending is Ending.FAILED else "was lost"
    return f"the machine ({where}) {what}: {instance.wrong or 'it ended without a word'}"
