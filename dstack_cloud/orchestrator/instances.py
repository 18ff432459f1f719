"""The step of an instance: from the committed intent to proof that it is gone."""

from __future__ import annotations

import logging
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.backends.base import Health, Observed
from dstack_cloud.domain.refusals import OUT_OF_REACH, code_of
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus, check_instance
from dstack_cloud.orchestrator import plan, together, turns
from dstack_cloud.orchestrator.couriers import Couriers
from dstack_cloud.orchestrator.dispatch import runner_job
from dstack_cloud.orchestrator.errands import withdraw_outputs
from dstack_cloud.orchestrator.launching import launch_of, lifetime_of
from dstack_cloud.orchestrator.placement import clock_text
from dstack_cloud.orchestrator.reports import read_report
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.link import LinkError
from dstack_cloud.runner_bootstrap.payload.job import ALONE

log = logging.getLogger(__name__)

# an answer to a create call that leaves open whether there is a machine now
UNCLEAR = frozenset({"Throttled", "Unavailable"})
# while its outputs are being saved
SAVING = frozenset({JobStatus.UPLOADING, JobStatus.STOPPING})
LONGEST_PAUSE = 5.0
# how long a backend that was asked to end a machine has for it before it is asked again
ASK_AGAIN = 30.0


def step(world: World, couriers: Couriers, instance: Instance) -> None:
    """Takes a claimed instance one small step further and gives its lease back."""
    job = world.database.jobs.get(instance.job_id)
    if instance.status is InstanceStatus.TERMINATING:
        _terminate(world, couriers, instance)
    elif not instance.status.alive:
        world.save_instance(instance, next_check_in=None)
    elif job is None or not plan.wanted(instance, job):
        _let_go(world, couriers, instance)
    elif instance.status is InstanceStatus.REQUESTED:
        _create(world, instance, job)
    elif instance.status is InstanceStatus.STARTING:
        _start(world, couriers, instance, job)
    else:
        _keep(world, couriers, instance, job)


def _move(instance: Instance, status: InstanceStatus, wrong: str = "") -> Instance:
    return replace(instance, status=check_instance(instance.status, status), wrong=wrong or instance.wrong)


def _pause(world: World, since: float, share: float = 0.05) -> float:
    """The longer something takes, the more rarely it is looked at."""
    return min(max(share * (world.clock() - since), world.timing.retry), LONGEST_PAUSE)


def _let_go(world: World, couriers: Couriers, instance: Instance) -> None:
    """A launch that was interrupted between the call and its record is found by its key."""
    couriers.stop(instance.id)
    if instance.status is InstanceStatus.REQUESTED and not instance.ref:
        instance = replace(instance, ref=_listed(world, instance))
    world.save_instance(_move(instance, InstanceStatus.TERMINATING), next_check_in=0.0)
    world.wake()


def _listed(world: World, instance: Instance) -> str:
    """The ref under which its backend lists it, "" where it doesn't. What it left behind says only that it was there."""
    owned = world.backend_of(instance).list_owned()
    return next((machine.ref for machine in owned if machine.key == instance.id and not machine.left), "")


def _create(world: World, instance: Instance, job: Job) -> None:
    backend = world.backend_of(instance)
    waited = world.awake.count(world.clock() - instance.created_at, world.clock())
    if instance.wrong and waited > _patience(world, instance):
        if code_of(instance.wrong) in UNCLEAR:
            _prove_absence(world, instance, job)
        else:
            _end(world, instance, Ending.FAILED, instance.wrong)
        return
    try:
        ref = backend.create(launch_of(world, instance, job, backend.capabilities))
    except (errors.Throttled, errors.Unavailable) as error:
        # the call is idempotent by its key, so an ambiguous answer is asked again
        asked = replace(instance, wrong=f"{error.code}: {error.summary}")
        world.save_instance(asked, next_check_in=max(_pause(world, instance.created_at, 0.5), 1.0))
        return
    except errors.BackendError as error:
        _refuse(world, replace(instance, scope=error.scope), _said(error))
        return
    _made(world, instance, job, ref)


def _patience(world: World, instance: Instance) -> float:
    """A call that was one too many had no effect: it waits for its turn, which may take long where many machines are asked for."""
    return world.timing.throttled if code_of(instance.wrong) == "Throttled" else world.timing.refused_retry


def _made(world: World, instance: Instance, job: Job, ref: str) -> None:
    lifetime = lifetime_of(world, job, world.backend_of(instance).capabilities)
    started = replace(_move(instance, InstanceStatus.STARTING), ref=ref, started_at=world.clock())
    deadline = None if lifetime is None else world.clock() + lifetime
    world.save_instance(replace(started, wrong="", absent_since=None, deadline=deadline), next_check_in=0.0)
    world.wake()


def _prove_absence(world: World, instance: Instance, job: Job) -> None:
    """Whether the call had its effect was never said. Only when its backend has listed no such machine for a while is the next
    offer tried; should it turn up later nevertheless, the reaper ends it."""
    now = world.clock()
    try:
        ref = _listed(world, instance)
    except errors.BackendError as error:
        if now - instance.created_at > _patience(world, instance) + world.timing.unlisted:
            _refuse(world, instance, instance.wrong)
        else:
            wrong = f"{error.code if error.code in UNCLEAR else 'Unavailable'}: {error.summary}"
            world.save_instance(replace(instance, wrong=wrong), next_check_in=world.timing.longest_retry)
        return
    if ref:
        _made(world, instance, job, ref)
    elif instance.absent_since is not None and now - instance.absent_since >= world.timing.absence:
        _refuse(world, instance, instance.wrong)
    else:
        since = now if instance.absent_since is None else instance.absent_since
        world.save_instance(replace(instance, absent_since=since), next_check_in=world.timing.absence / 3)


def _said(error: errors.BackendError) -> str:
    """With the cloud's own words, where the summary hasn't got them."""
    own = error.cloud_message.strip().partition("\n")[0][:300]
    words = "" if not own or own in error.summary else f" [{own}]"
    return f"{error.code}: {error.summary}{words}" + (f" ({error.hint})" if error.hint else "")


def _refuse(world: World, instance: Instance, wrong: str) -> None:
    refused = replace(_move(instance, InstanceStatus.REFUSED, wrong), terminated_at=world.clock())
    world.save_instance(refused, next_check_in=None)
    world.links.forget(instance, keys=True)
    world.wake_job(instance.job_id)


def _start(world: World, couriers: Couriers, instance: Instance, job: Job) -> None:
    if instance.wrong and _overdue(world, instance, job):
        # a step that fails in a way that nobody foresaw isn't taken for ever
        _end(world, instance, Ending.FAILED, instance.wrong)
        return
    observed = _observe(world, instance)
    if observed is None:
        _wait_for_boot(world, instance, job, "its backend can't say how it is")
    elif observed.refusal is not None:
        # nothing was paid for, and nothing was lost
        never = replace(instance, scope=observed.refusal.scope, started_at=None, deadline=None)
        _refuse(world, never, _said(observed.refusal))
    elif observed.over and not (observed.health is Health.GONE and _settling(world, instance)):
        _gone(world, couriers, instance, job, observed)
    elif not observed.endpoint or (job.spec.nodes > 1 and not observed.address):
        _wait_for_boot(world, instance, job, "it got no address", observed.grace)
    else:
        _hand_over(world, couriers, replace(instance, endpoint=observed.endpoint), job, observed)


def _settling(world: World, instance: Instance) -> bool:
    """Clouds list what they made a little late. On this computer what isn't there is gone."""
    remote = world.backend_of(instance).capabilities.remote
    return remote and world.clock() - (instance.started_at or 0.0) < world.timing.settle


def _hand_over(world: World, couriers: Couriers, instance: Instance, job: Job, observed: Observed) -> None:
    """One of several nodes waits until the machines of all are up."""
    backend = world.backend_of(instance)
    try:
        link = world.links.open(instance)
        nodes = _nodes(world, instance, job, observed.address)
        if not nodes:
            return
        link.submit(runner_job(world, instance, job, backend.capabilities, nodes))
    except LinkError as error:
        if error.unreachable:
            _wait_for_boot(world, instance, job, str(error), observed.grace)
        else:
            _end(world, instance, Ending.FAILED, str(error))
    except errors.DstackError as error:
        # what asking again can't mend: another machine's host key, an environment that can't be unsealed
        if error.retryable:
            _wait_for_boot(world, instance, job, error.summary, observed.grace)
        else:
            _end(world, instance, Ending.FAILED, error.summary)
    else:
        up = replace(_move(instance, InstanceStatus.BUSY), wrong="")
        busy = world.save_instance(up, next_check_in=world.timing.poll)
        couriers.ensure(busy, job)


def _nodes(world: World, instance: Instance, job: Job, address: str) -> list[str]:
    """Where all nodes are reached, once all machines are up; else it is recorded that this one is, and the step is over."""
    if job.spec.nodes == 1:
        return list(ALONE)
    if instance.address:
        nodes = together.addresses(world, job)
        if not nodes:
            world.save_instance(replace(instance, wrong=""), next_check_in=world.timing.poll)
        return nodes
    world.save_instance(replace(instance, wrong="", address=address), next_check_in=world.timing.poll)
    if together.addresses(world, job):
        together.wake_machines(world, job)
    return []


def _wait_for_boot(world: World, instance: Instance, job: Job, why: str, grace: float = 0.0) -> None:
    if _overdue(world, instance, job, grace):
        _end(world, instance, Ending.MUTE, f"no answer within {world.timing.boot + grace:.0f} s: {why}")
        return
    world.save_instance(instance, next_check_in=_pause(world, instance.started_at or world.clock()))


def _overdue(world: World, instance: Instance, job: Job, grace: float = 0.0) -> bool:
    """One that was up, and waits for other nodes, isn't blamed for the time that these take."""
    started, now = instance.started_at, world.clock()
    if instance.address:
        started = together.last_started(world, job)
    return started is not None and world.awake.count(now - started, now) > world.timing.boot + grace


def _end(world: World, instance: Instance, ending: Ending, why: str) -> None:
    ended = replace(_move(instance, InstanceStatus.TERMINATING, why), ending=ending)
    world.save_instance(ended, next_check_in=0.0)
    world.wake_job(instance.job_id)


def _keep(world: World, couriers: Couriers, instance: Instance, job: Job) -> None:
    """A busy instance has a courier; one that lost its runner is asked after in the cloud before anything is concluded."""
    couriers.ensure(instance, job)
    now = world.clock()
    unreachable = world.awake.count(couriers.unreachable_for(instance.id), now)
    late = instance.deadline is not None and now > instance.deadline
    observed = _look_after(world, instance, well=not unreachable and not late)
    if observed is not None and observed.over:
        _gone(world, couriers, instance, job, observed)
    elif given_up := couriers.given_up(instance.id):
        _end(world, instance, Ending.FAILED, f"{plan.STORE_FAILED}: {given_up}")
    elif late and not _still_saving(world, job, unreachable):
        couriers.stop(instance.id)
        _end(world, instance, Ending.FAILED, "it outlived its max_duration and the time to save its outputs")
    elif _held_against(world, instance, observed, unreachable) > world.timing.unreachable:
        couriers.stop(instance.id)
        _end(world, instance, Ending.LOST, f"unreachable for {unreachable:.0f} s")
    elif unreachable:
        wrong = instance.wrong or f"{OUT_OF_REACH} {clock_text(now)}"
        world.save_instance(replace(instance, wrong=wrong), next_check_in=min(2.0, world.timing.poll))
    else:
        kept = replace(instance, wrong="") if instance.wrong else instance
        world.save_instance(kept, next_check_in=world.timing.poll)


def _look_after(world: World, instance: Instance, *, well: bool) -> Observed | None:
    """A connection to a machine that died may look well for long: the cloud is asked now and then all the same."""
    if well and not world.backend_of(instance).capabilities.remote:
        return None
    try:
        return _observe(world, instance, age=world.timing.poll / 3 if well else 0.0)
    except errors.BackendError as error:
        # credentials that expired say nothing about the machine
        log.info("%s: %s", instance.id, error.summary)
        return None


def _held_against(world: World, instance: Instance, observed: Observed | None, unreachable: float) -> float:
    """The seconds of silence that say something about the machine: while its cloud is out of reach too, it is our own network
    that is away, and the machine may be at work."""
    if not world.backend_of(instance).capabilities.ephemeral:
        # the only one who could tell is the machine itself
        return unreachable
    place, now = (instance.project, instance.offer.backend), world.clock()
    if unreachable and observed is None:
        world.observations.note_silence(place, now)
    return world.observations.heard(place, unreachable, now)


def _still_saving(world: World, job: Job, unreachable: float) -> bool:
    """Past the deadline, a runner that answers may finish what it saves; and after a server slept through the deadline, its
    machine gets the time that it would have had."""
    if world.clock() < world.awake.since + world.timing.saving:
        return unreachable <= world.timing.boot
    return not unreachable and job.status in SAVING


def _gone(world: World, couriers: Couriers, instance: Instance, job: Job, observed: Observed) -> None:
    couriers.stop(instance.id)
    if _said_its_last_word(world, job, instance):
        _end(world, instance, Ending.NONE, "")
    else:
        _end(world, instance, Ending.LOST, observed.detail or "the machine is gone")


def _said_its_last_word(world: World, job: Job, instance: Instance) -> bool:
    """A machine ends itself when its job has ended: it may be gone before anybody here has read of that."""
    try:
        report = read_report(world, job, instance)
    except errors.StoreError:
        return False
    return report is not None and report.phase == "finished"


def _observe(world: World, instance: Instance, age: float = 0.0) -> Observed | None:
    """What the backend says; None where it can't say now. An answer to somebody else may be `age` seconds old."""
    backend = world.backend_of(instance)

    def alive() -> list[str]:
        rows = world.database.instances.alive()
        place = (instance.project, instance.offer.backend)
        return [row.ref for row in rows if row.ref and (row.project, row.offer.backend) == place]

    try:
        return world.observations.look(instance.project, backend, instance.ref, alive, age)
    except errors.BackendError as error:
        if error.retryable:
            return None
        raise


def _terminate(world: World, couriers: Couriers, instance: Instance) -> None:
    """Until the backend says that it is gone, however long that takes."""
    couriers.stop(instance.id)
    world.links.forget(instance, keys=False)
    now, asked = world.clock(), instance.end_asked_at
    try:
        if instance.ref:
            if asked is None or not 0 <= now - asked < ASK_AGAIN:
                world.backend_of(instance).terminate([instance.ref])
                asked = now
            observed = _observe(world, instance)
            if observed is None or observed.health is not Health.GONE:
                going = replace(instance, end_asked_at=asked)
                world.save_instance(going, next_check_in=_pause(world, asked, 0.1))
                return
    except errors.BackendError as error:
        wrong = instance.wrong or f"{error.code}: {error.summary}"
        world.save_instance(replace(instance, wrong=wrong), next_check_in=world.timing.longest_retry)
        return
    job = world.database.jobs.get(instance.job_id)
    if job is not None:
        withdraw_outputs(world, job)
    gone = replace(_move(instance, InstanceStatus.TERMINATED), terminated_at=world.clock())
    world.save_instance(gone, next_check_in=None)
    world.links.forget(instance, keys=True)
    world.wake_job(instance.job_id)
    turns.give(world, instance)
