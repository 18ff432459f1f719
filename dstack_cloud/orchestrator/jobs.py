"""The step of a job: load, observe, decide, make at most one outside call, record."""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.domain.jobs import UPLOAD
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.resources import Offer, allowed
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus, check_job
from dstack_cloud.orchestrator import placement, plan, turns
from dstack_cloud.orchestrator.dispatch import longest_run
from dstack_cloud.orchestrator.errands import with_contents
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.link import LinkError
from dstack_cloud.storage import artifacts, layout

log = logging.getLogger(__name__)

_STOPPING = {"stop": JobStatus.STOPPING, "abort": JobStatus.ABORTING}


def step(world: World, job: Job) -> None:
    """Takes a claimed job one small step further and gives its lease back."""
    if job.status.finished:
        world.save_job(job, next_check_in=None)
    elif job.spec.provider == UPLOAD:
        _leave_upload(world, job)
    elif job.status in (JobStatus.PENDING, JobStatus.SUBMITTED):
        _place(world, job)
    else:
        _watch(world, job)


def _leave_upload(world: World, job: Job) -> None:
    """It has no machine. The request that brings it also ends it, unless it was killed with its server."""
    if job.run_id in world.receiving:
        world.save_job(job, next_check_in=None)
        return
    try:
        artifacts.discard(world.store_of(job), layout.JobPlace(job.run_name, job.name))
    except errors.StoreError as error:
        # `dstack rm` removes them with the run
        log.warning("what came of %s stays: %s", job.id, error.summary)
    _give_up(world, job, "output", "the upload broke off")


def _place(world: World, job: Job) -> None:
    if job.stop_request:
        withdraw_outputs(world, stopped := plan.stopped(job, world.clock()))
        world.save_job(stopped, next_check_in=None)
        return
    everything = world.database.instances.of_jobs([job.id])
    attempt = plan.launch_attempt(job, everything)
    launches = plan.since_resumed(job, everything)
    if len(launches) < len(everything) and any(launch.status.alive for launch in everything):
        # never two on one job: the step that sees it gone wakes this one
        world.save_job(
            replace(job, message="waiting until its former machine is gone"), next_check_in=world.timing.poll
        )
        return
    if job.needs:
        # before every launch: what it needs, in another run too, may have been started again since
        needed = [other for need in job.needs if (other := world.database.jobs.get(need.id))]
        job, free = plan.after_needs(job, needed, world.clock())
        if not free:
            # whose end wakes it; that of another run's doesn't
            elsewhere = any(other.run_id != job.run_id and not other.status.finished for other in needed)
            pause = world.timing.poll if elsewhere else world.timing.waiting
            world.save_job(job, next_check_in=None if job.status.finished else pause)
            return
    refused = placement.refused_in(launches, attempt, job.round)
    try:
        offers, busy = find_offers(world, job)
    except errors.NoCapacity as error:
        _search_on(world, job, refused, error.summary)
    except errors.BackendError as error:
        if error.retryable:
            world.save_job(replace(job, message=error.summary), next_check_in=world.timing.longest_retry)
        else:
            _give_up(world, job, "no_offers", error.summary)
    else:
        offer = placement.next_offer(offers, refused, placement.burnt(launches))
        if offer is None:
            _search_on(world, job, refused, "; ".join(busy), queued=bool(busy) or turns.all_taken(world, job, refused))
        else:
            _launch(world, job, attempt, offer)


def _search_on(world: World, job: Job, refused: list[Instance], said: str = "", *, queued: bool = False) -> None:
    """All offers were refused: another round, if that may help and there is time for it, else the job fails. A job that is
    `queued` for machines that stay waits for its turn however long it takes, unless its `retry` says how long."""
    endless = queued and job.spec.retry_seconds is None
    until = None if endless else placement.search_until(job)
    pause = placement.pause(job, world.timing.longest_retry if queued else placement.LONGEST_PAUSE)
    passing = bool(said) or placement.may_pass(refused)
    if passing and (endless or (until is not None and world.clock() + pause < until)):
        message = placement.waiting_message(refused, until, said)
        world.database.instances.forget_refused(job.id, keep=placement.KEPT_REFUSALS)
        waiting = replace(job, status=check_job(job.status, JobStatus.PENDING), round=job.round + 1, message=message)
        world.save_job(waiting, next_check_in=pause)
        return
    message = placement.no_offer_message(refused, job.round, said)
    again = job.searching_since is not None
    _give_up(world, job, "no_offers", f"no other machine to go on with: {message}" if again else message)


def _give_up(world: World, job: Job, reason: str, message: str) -> None:
    failed = plan.finish(job, JobStatus.FAILED, world.clock(), reason=reason, message=message)
    world.save_job(failed, next_check_in=None)


def _launch(world: World, job: Job, attempt: int, offer: Offer) -> None:
    """The intent: both rows commit together, before any machine is asked for. What is to be removed goes just before, when no
    machine of this job is left and it surely begins anew; again, where the server dies in between."""
    if job.clear:
        artifacts.discard(world.store_of(job), layout.JobPlace(job.run_name, job.name))
    instance = Instance(
        id=f"{job.run_name}-{secrets.token_hex(5)}",
        project=job.project,
        job_id=job.id,
        run_name=job.run_name,
        attempt=attempt,
        offer=offer,
        created_at=world.clock(),
        next_check_at=world.clock(),
        round=job.round,
    )
    submitted = replace(with_contents(world, job), status=JobStatus.SUBMITTED, clear=False)
    provisioning = replace(submitted, status=JobStatus.PROVISIONING, attempt=attempt, instance_id=instance.id)
    with world.database.transaction():
        world.database.instances.add(instance)
        world.save_job(replace(provisioning, message=""), next_check_in=world.timing.poll)
    # again, for whoever looked before the rows were committed
    world.changes.notify()
    world.wake()


def find_offers(world: World, job: Job) -> tuple[list[Offer], list[str]]:
    """Offers of all backends the job may use, and why machines that stay take it only later. A backend that can't serve it is
    skipped while another can; raises what the last one said when none can."""
    requirements = job.spec.requirements
    offers: list[Offer] = []
    busy: list[str] = []
    last: errors.BackendError | None = None
    for name in requirements.backends:
        try:
            backend = world.backend(job.project, name)
            fitting = [offer for offer in backend.offers(requirements) if allowed(offer, requirements)]
            free, full = turns.divide(world, job.project, backend, fitting)
            offers, busy = offers + free, busy + full
        except errors.BackendError as error:
            last = error
    if not offers and not busy and last is not None:
        raise last
    return offers, busy


def _watch(world: World, job: Job) -> None:
    instance = world.database.instances.get(job.instance_id)
    if instance is None:
        _give_up(world, job, "lost", "its machine is unknown")
        return
    try:
        report = read_report(world, job, instance)
    except errors.StoreError as error:
        if not job.stop_request and instance.ending is not Ending.FAILED:
            if not _long_gone(world, instance):
                raise
            _give_up(
                world,
                job,
                "output",
                f"its machine is gone, and {store_name(world, job)} can't be read: {error.summary}",
            )
            return
        # a store that fails must not keep a job from being stopped, or from failing where nothing more can come
        report = None
    if report is not None and report.phase == "finished" and report.reason == "interrupted":
        _go_on_elsewhere(world, job, instance, Ending.INTERRUPTED, report)
    elif report is not None and report.phase == "finished":
        _save_progress(world, job, plan.follow_report(job, report, world.clock()))
    elif instance.status is InstanceStatus.REFUSED:
        _refused(world, job, instance)
    elif not instance.status.alive or instance.status is InstanceStatus.TERMINATING:
        _lost(world, job, instance, report)
    elif job.stop_request and job.status is not _STOPPING[job.stop_request]:
        _stop(world, job, instance)
    elif report is not None:
        _save_progress(world, job, plan.follow_report(job, report, world.clock()))
    else:
        world.save_job(job, next_check_in=world.timing.poll)


def _long_gone(world: World, instance: Instance) -> bool:
    """A machine that ended while nobody could read what it said last: a store that is away for a moment is waited for."""
    now, ended = world.clock(), instance.terminated_at
    if instance.status is not InstanceStatus.TERMINATED or ended is None:
        return False
    return world.awake.count(now - ended, now) > world.timing.saving


def store_name(world: World, job: Job) -> str:
    access = world.access.get(job.project)
    return "its project's store" if access is None else access.url


def _save_progress(world: World, before: Job, job: Job) -> None:
    world.save_job(job, next_check_in=None if job.status.finished else world.timing.poll)
    if job.status.finished and not before.status.finished:
        world.wake_instance(job.instance_id)


def _refused(world: World, job: Job, instance: Instance) -> None:
    if job.stop_request:
        world.save_job(plan.stopped(job, world.clock()), next_check_in=None)
        return
    message = placement.refused_message(instance)
    world.save_job(replace(job, status=JobStatus.PENDING, message=message), next_check_in=0.0)


def _lost(world: World, job: Job, instance: Instance, report: plan.RunnerReport | None) -> None:
    """A machine went without a last word. Its job goes on elsewhere once its end is confirmed, so that never two of them work
    on it; a machine of the user's own that is out of reach can't confirm anything."""
    backend = world.backend_of(instance)
    if job.stop_request:
        world.save_job(plan.stopped(job, world.clock()), next_check_in=None)
    elif unsaved := plan.unsaved(job, instance, report, store_name(world, job), world.clock()):
        _give_up(world, job, *unsaved)
    elif not backend.capabilities.remote or instance.ending in (Ending.NONE, Ending.FAILED):
        _give_up(world, job, "lost", plan.lost_message(instance))
    elif instance.status is InstanceStatus.TERMINATING and backend.capabilities.ephemeral:
        world.save_job(replace(job, message=plan.lost_message(instance)), next_check_in=world.timing.poll)
    else:
        noticed = report is not None and report.noticed
        _go_on_elsewhere(world, job, instance, Ending.INTERRUPTED if noticed else instance.ending)


def _go_on_elsewhere(
    world: World, job: Job, instance: Instance, ending: Ending, report: plan.RunnerReport | None = None
) -> None:
    """Back to the search for a machine; or the end, where it was asked to stop, has no time left, or loses every machine."""
    now = world.clock()
    counted = job if report is None else plan.timed(job, report, now)
    ended = replace(instance, ending=ending, wrong=instance.wrong or str(ending))
    launches = world.database.instances.of_jobs([job.id])
    launches = [ended if launch.id == instance.id else launch for launch in launches]
    longest = longest_run(job.spec, world.backend_of(instance).capabilities)
    if job.stop_request:
        decided = plan.stopped(counted, now)
    elif longest is not None and plan.ran_for(counted, now) >= longest:
        decided = plan.finish(counted, JobStatus.FAILED, now, reason="max_duration", message=plan.OUT_OF_TIME)
    elif why := plan.too_many_lost(plan.since_resumed(job, launches)):
        decided = plan.finish(counted, JobStatus.FAILED, now, reason="lost", message=why)
    else:
        decided = plan.resubmitted(counted, instance, ending, now)
    try:
        with world.database.transaction():
            # without its lease: a step that is under way finds its row changed, and looks again
            world.database.instances.save(ended, release=False)
            world.save_job(decided, next_check_in=None if decided.status.finished else 0.0)
    except Stale:
        # the machine's own step was faster; the job's row, which nobody else changed, would stay leased
        world.save_job(job, next_check_in=0.0)
        return
    world.wake_instance(instance.id)
    world.changes.notify()
    world.wake()


def _stop(world: World, job: Job, instance: Instance) -> None:
    """Before the runner has the job there is nothing to save, and of an aborted one nothing is wanted: where the runner
    can't be told, such a job ends here, and its machine with it."""
    abort = job.stop_request == "abort"
    try:
        told = instance.status is InstanceStatus.BUSY
        if told:
            world.links.open(instance).stop(abort=abort)
    except (LinkError, errors.RunnerUnreachable, errors.SshError):
        if not abort:
            world.save_job(job, next_check_in=world.timing.longest_retry)
            world.wake_instance(instance.id)
            return
        told = False
    if not told:
        world.save_job(plan.stopped(job, world.clock()), next_check_in=None)
        world.wake_instance(instance.id)
        return
    world.save_job(replace(job, status=_STOPPING[job.stop_request], message=""), next_check_in=world.timing.poll)


def withdraw_outputs(world: World, job: Job) -> None:
    """Of an aborted job nothing is kept, also what its earlier attempts saved on the way. For one that no carrier serves."""
    if job.status is not JobStatus.ABORTED or not job.spec.artifacts or not job.attempt:
        return
    try:
        artifacts.withdraw(world.store_of(job), layout.JobPlace(job.run_name, job.name))
    except errors.StoreError as error:
        # a store that fails must not keep a job from being stopped
        log.warning("the artifacts of %s stay: %s", job.id, error.summary)


def read_report(world: World, job: Job, instance: Instance) -> plan.RunnerReport | None:
    """The runner's last word in the store; None while there is none."""
    place = layout.AttemptPlace(job.run_name, job.name, instance.attempt)
    try:
        raw = json.loads(world.store_of(job).get(place.status))
    except errors.NotFound:
        return None
    if raw.get("attempt") != instance.id:
        return None
    return plan.RunnerReport(
        phase=raw["phase"],
        message=raw["message"] or "; ".join(raw.get("warnings", [])),
        exit_code=raw["exit_code"],
        reason=raw["reason"],
        started_at=_bounded(raw["started_at"], instance, world.clock()),
        noticed=raw.get("notice_at") is not None,
        ran=_lasted(raw["started_at"], raw.get("ended_at")),
        ended_at=_bounded(raw.get("ended_at"), instance, world.clock()),
    )


def _bounded(moment: float | None, instance: Instance, now: float) -> float | None:
    """A machine's clock may be wrong by any time: what it says is held within what ours has seen."""
    if moment is None:
        return None
    return min(max(moment, instance.started_at or instance.created_at), now)


def _lasted(started_at: float | None, ended_at: float | None) -> float | None:
    """Seconds by the machine's clock, of which only the difference counts; None while it runs."""
    return None if started_at is None or ended_at is None else max(ended_at - started_at, 0.0)
