"""A job without a machine looks for one, or for as many as it has nodes: the intent is committed, steps of instances do the rest."""

from __future__ import annotations

import secrets
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.backends.base import offers_of_all
from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import JobStatus, check_job
from dstack_cloud.orchestrator import groups, placement, plan, together, turns
from dstack_cloud.orchestrator.errands import with_contents, withdraw_outputs
from dstack_cloud.orchestrator.world import World
from dstack_cloud.storage import artifacts, layout


def place(world: World, job: Job) -> None:
    """`job` stands for all of its nodes: they are offered the same, at once."""
    jobs = together.members(world, job)
    if wish := groups.request_of(jobs):
        stopped = plan.stopped(replace(job, stop_request=wish), world.clock())
        for each in jobs:
            withdraw_outputs(world, replace(each, status=stopped.status))
        together.save(world, stopped, next_check_in=None)
        return
    everything = world.database.instances.of_jobs([each.id for each in jobs])
    attempt = plan.launch_attempt(job, everything)
    launches = plan.since_resumed(job, everything)
    again = len(jobs) > 1 or len(launches) < len(everything)
    if again and any(launch.status.alive for launch in everything):
        # never two on one job: the step that sees it gone wakes this one
        what = "its former machine is" if len(jobs) == 1 else "its former machines are"
        waiting = replace(job, message=f"waiting until {what} gone")
        together.save(world, waiting, next_check_in=world.timing.poll)
        return
    if job.needs:
        # before every launch: what it needs, in another run too, may have been started again since
        needed = [other for need in job.needs if (other := world.database.jobs.get(need.id))]
        job, free = plan.after_needs(job, needed, world.clock())
        if not free:
            # whose end wakes it; that of another run's doesn't
            elsewhere = any(other.run_id != job.run_id and not other.status.finished for other in needed)
            pause = world.timing.poll if elsewhere else world.timing.waiting
            together.save(world, job, next_check_in=None if job.status.finished else pause)
            return
    refused = placement.refused_in(launches, attempt, job.round)
    try:
        offers, busy = find_offers(world, job)
    except errors.NoCapacity as error:
        _search_on(world, job, refused, error.summary)
    except errors.BackendError as error:
        if error.retryable:
            together.save(world, replace(job, message=error.summary), next_check_in=world.timing.longest_retry)
        else:
            give_up(world, job, "no_offers", error.summary)
    else:
        offer = placement.next_offer(offers, refused, placement.burnt(launches))
        if offer is None:
            _search_on(world, job, refused, "; ".join(busy), queued=bool(busy) or turns.all_taken(world, job, refused))
        else:
            _launch(world, job, attempt, offer)


def _search_on(world: World, job: Job, refused: list[Instance], said: str = "", *, queued: bool = False) -> None:
    """All offers were refused: another round, if that may help and there is time for it, else the job fails. A job that is
    `queued` for machines that stay waits for its turn however long it takes, unless its `retry` says how long."""
    endless = queued and not job.spec.retry_seconds
    until = None if endless else placement.search_until(job)
    pause = placement.pause(job, world.timing.longest_retry if queued else placement.LONGEST_PAUSE)
    passing = bool(said) or placement.may_pass(refused)
    if passing and (endless or (until is not None and world.clock() + pause < until)):
        message = placement.waiting_message(refused, until, said)
        for each in together.members(world, job):
            world.database.instances.forget_refused(each.id, keep=placement.KEPT_REFUSALS)
        waiting = replace(job, status=check_job(job.status, JobStatus.PENDING), round=job.round + 1, message=message)
        together.save(world, waiting, next_check_in=pause)
        return
    message = placement.no_offer_message(refused, job.round, said)
    again = job.searching_since is not None
    give_up(world, job, "no_offers", f"no other machine to go on with: {message}" if again else message)


def give_up(world: World, job: Job, reason: str, message: str) -> None:
    failed = plan.finish(job, JobStatus.FAILED, world.clock(), reason=reason, message=message)
    together.save(world, failed, next_check_in=None)


def _launch(world: World, job: Job, attempt: int, offer: Offer) -> None:
    """The intent: all rows commit together, before any machine is asked for. What is to be removed goes just before, when no
    machine of this job is left and it surely begins anew; again, where the server dies in between."""
    jobs = together.members(world, job)
    for each in jobs if job.clear else ():
        artifacts.discard(world.store_of(job), layout.JobPlace(each.run_name, each.name))
    submitted = replace(with_contents(world, job), status=JobStatus.SUBMITTED, clear=False)
    provisioning = replace(submitted, status=JobStatus.PROVISIONING, attempt=attempt, message="")
    instances = [_instance(world, each, provisioning, offer) for each in jobs]
    nodes = [provisioning, *(groups.like(groups.like(each, submitted), provisioning) for each in jobs[1:])]
    placed = [replace(node, instance_id=instance.id) for node, instance in zip(nodes, instances, strict=True)]
    with world.database.transaction():
        for instance in instances:
            world.database.instances.add(instance)
        together.save_all(world, placed, next_check_in=world.timing.poll)
    # again, for whoever looked before the rows were committed
    world.changes.notify()
    world.wake()


def _instance(world: World, job: Job, placed: Job, offer: Offer) -> Instance:
    return Instance(
        id=f"{job.run_name}-{secrets.token_hex(5)}",
        project=job.project,
        job_id=job.id,
        run_name=job.run_name,
        attempt=placed.attempt,
        offer=offer,
        created_at=world.clock(),
        next_check_at=world.clock(),
        round=placed.round,
    )


def find_offers(world: World, job: Job) -> tuple[list[Offer], list[str]]:
    """Offers of all backends the job may use, and why machines that stay take it only later. A backend that can't serve it is
    skipped while another can; raises what the last one said when none can."""
    backends = [world.backend(job.project, name) for name in job.spec.requirements.backends]
    fitting, refusals = offers_of_all(backends, job.spec.requirements)
    offers: list[Offer] = []
    busy: list[str] = []
    for backend in backends:
        free, full = turns.divide(world, job.project, backend, [one for one in fitting if one.backend == backend.name])
        offers, busy = offers + free, busy + full
    if not offers and not busy and refusals:
        raise list(refusals.values())[-1]
    return offers, busy
