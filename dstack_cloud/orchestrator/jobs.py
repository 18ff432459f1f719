"""The step of a job: load, observe, decide, make at most one outside call, record."""

from __future__ import annotations

import logging
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.domain.jobs import UPLOAD
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus
from dstack_cloud.orchestrator import nodes, placement, plan, together
from dstack_cloud.orchestrator.dispatch import longest_run
from dstack_cloud.orchestrator.reports import STOPPING, last_word, store_name
from dstack_cloud.orchestrator.searching import give_up, place
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.link import LinkError
from dstack_cloud.storage import artifacts, layout

log = logging.getLogger(__name__)


def step(world: World, job: Job) -> None:
    """Takes a claimed job one small step further and gives its lease back."""
    if job.status.finished:
        world.save_job(job, next_check_in=None)
    elif job.spec.provider == UPLOAD:
        _leave_upload(world, job)
    elif job.node:
        together.leave_to_first(world, job)
    elif job.status in (JobStatus.PENDING, JobStatus.SUBMITTED):
        place(world, job)
    elif job.spec.nodes > 1:
        nodes.watch(world, job)
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
    give_up(world, job, "output", "the upload broke off")


def _watch(world: World, job: Job) -> None:
    instance = world.database.instances.get(job.instance_id)
    if instance is None:
        give_up(world, job, "lost", "its machine is unknown")
        return
    report, failure = last_word(world, job, instance)
    if failure is not None:
        give_up(world, job, *failure)
    elif report is not None and report.phase == "finished" and report.reason == "interrupted":
        _go_on_elsewhere(world, job, instance, Ending.INTERRUPTED, report)
    elif report is not None and report.phase == "finished":
        _save_progress(world, job, plan.follow_report(job, report, world.clock()))
    elif instance.status is InstanceStatus.REFUSED:
        _refused(world, job, instance)
    elif not instance.status.alive or instance.status is InstanceStatus.TERMINATING:
        _lost(world, job, instance, report)
    elif job.stop_request and job.status is not STOPPING[job.stop_request]:
        _stop(world, job, instance)
    elif report is not None:
        _save_progress(world, job, plan.follow_report(job, report, world.clock()))
    else:
        world.save_job(job, next_check_in=world.timing.poll)


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
        give_up(world, job, *unsaved)
    elif not backend.capabilities.remote or instance.ending in (Ending.NONE, Ending.FAILED):
        give_up(world, job, "lost", plan.lost_message(instance))
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
    decided = plan.go_on(counted, ended, launches, longest, now)
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
    world.save_job(replace(job, status=STOPPING[job.stop_request], message=""), next_check_in=world.timing.poll)
