"""The step of an instance: from the committed intent to proof that it is gone."""

from __future__ import annotations

from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.backends.base import Health, Launch, Observed
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import InstanceStatus, check_instance
from dstack_cloud.orchestrator import plan
from dstack_cloud.orchestrator.couriers import Couriers
from dstack_cloud.orchestrator.dispatch import longest_run, runner_job
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.link import LinkError

SAVING_MARGIN = 1800.0


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


def _let_go(world: World, couriers: Couriers, instance: Instance) -> None:
    """A launch that was interrupted between the call and its record is found by its key."""
    couriers.stop(instance.id)
    if instance.status is InstanceStatus.REQUESTED and not instance.ref:
        owned = world.backend_of(instance).list_owned()
        ref = next((machine.ref for machine in owned if machine.key == instance.id), "")
        instance = replace(instance, ref=ref)
    world.save_instance(_move(instance, InstanceStatus.TERMINATING), next_check_in=0.0)
    world.wake()


def _create(world: World, instance: Instance, job: Job) -> None:
    backend = world.backend_of(instance)
    if instance.wrong and world.clock() - instance.created_at > world.timing.refused_retry:
        _end(world, instance, instance.wrong)
        return
    longest = longest_run(job.spec, backend.capabilities)
    lifetime = None if longest is None else longest + SAVING_MARGIN
    launch = Launch(
        key=instance.id,
        offer=instance.offer,
        user_data=world.links.prepare(instance) if backend.capabilities.remote else "",
        lifetime=lifetime or 0.0,
        tags={"dstack-owner": world.installation, "dstack-run": instance.run_name, "dstack-job": job.name},
    )
    try:
        ref = backend.create(launch)
    except (errors.Throttled, errors.Unavailable) as error:
        # the call is idempotent by its key, so an ambiguous answer is asked again
        world.save_instance(replace(instance, wrong=f"{error.code}: {error.summary}"), next_check_in=2.0)
        return
    except errors.BackendError as error:
        _refuse(world, instance, error)
        return
    started = replace(_move(instance, InstanceStatus.STARTING), ref=ref, started_at=world.clock())
    deadline = None if lifetime is None else world.clock() + lifetime
    world.save_instance(replace(started, wrong="", deadline=deadline), next_check_in=0.0)
    world.wake()


def _refuse(world: World, instance: Instance, error: errors.BackendError) -> None:
    text = f"{error.code}: {error.summary}" + (f" ({error.hint})" if error.hint else "")
    refused = replace(_move(instance, InstanceStatus.REFUSED, text), terminated_at=world.clock())
    world.save_instance(refused, next_check_in=None)
    world.links.forget(instance, keys=True)
    world.wake_job(instance.job_id)


def _start(world: World, couriers: Couriers, instance: Instance, job: Job) -> None:
    if instance.wrong and _overdue(world, instance):
        # a step that fails in a way that nobody foresaw isn't taken for ever
        _end(world, instance, instance.wrong)
        return
    observed = _observe(world, instance)
    if observed is None:
        _wait_for_boot(world, instance, "its backend can't say how it is")
    elif observed.health is Health.GONE:
        _gone(world, couriers, instance, observed)
    elif not observed.endpoint:
        _wait_for_boot(world, instance, "it got no address")
    else:
        _hand_over(world, couriers, replace(instance, endpoint=observed.endpoint), job)


def _hand_over(world: World, couriers: Couriers, instance: Instance, job: Job) -> None:
    backend = world.backend_of(instance)
    try:
        link = world.links.open(instance)
        link.submit(runner_job(world, instance, job, backend.capabilities))
    except LinkError as error:
        if error.unreachable:
            _wait_for_boot(world, instance, str(error))
        else:
            _end(world, instance, str(error))
    except errors.DstackError as error:
        # what asking again can't mend: another machine's host key, an environment that can't be unsealed
        if error.retryable:
            _wait_for_boot(world, instance, error.summary)
        else:
            _end(world, instance, error.summary)
    else:
        up = replace(_move(instance, InstanceStatus.BUSY), wrong="")
        busy = world.save_instance(up, next_check_in=world.timing.poll)
        couriers.ensure(busy, job)


def _wait_for_boot(world: World, instance: Instance, why: str) -> None:
    if _overdue(world, instance):
        _end(world, instance, f"no answer within {world.timing.boot:.0f} s: {why}")
        return
    world.save_instance(instance, next_check_in=world.timing.retry)


def _overdue(world: World, instance: Instance) -> bool:
    return instance.started_at is not None and world.clock() - instance.started_at > world.timing.boot


def _end(world: World, instance: Instance, why: str) -> None:
    world.save_instance(_move(instance, InstanceStatus.TERMINATING, why), next_check_in=0.0)
    world.wake_job(instance.job_id)


def _keep(world: World, couriers: Couriers, instance: Instance, job: Job) -> None:
    """A busy instance has a courier; one that lost its runner is asked after in the cloud before anything is concluded."""
    couriers.ensure(instance, job)
    if instance.deadline is not None and world.clock() > instance.deadline:
        couriers.stop(instance.id)
        _end(world, instance, "it outlived its max_duration and the time to save its outputs")
        return
    unreachable = couriers.unreachable_for(instance.id)
    if unreachable == 0.0:
        world.save_instance(instance, next_check_in=world.timing.poll)
        return
    observed = _observe(world, instance)
    if observed is not None and observed.health is Health.GONE:
        _gone(world, couriers, instance, observed)
    elif unreachable > world.timing.unreachable:
        couriers.stop(instance.id)
        _end(world, instance, f"unreachable for {unreachable:.0f} s")
    else:
        world.save_instance(instance, next_check_in=min(2.0, world.timing.poll))


def _gone(world: World, couriers: Couriers, instance: Instance, observed: Observed) -> None:
    couriers.stop(instance.id)
    _end(world, instance, observed.detail or "the machine is gone")


def _observe(world: World, instance: Instance) -> Observed | None:
    """What the backend says; None where it can't say now."""
    try:
        return world.backend_of(instance).inspect([instance.ref])[instance.ref]
    except errors.BackendError as error:
        if error.retryable:
            return None
        raise


def _terminate(world: World, couriers: Couriers, instance: Instance) -> None:
    """Repeated until the backend says it is gone, however long that takes."""
    couriers.stop(instance.id)
    world.links.forget(instance, keys=False)
    backend = world.backend_of(instance)
    try:
        if instance.ref:
            backend.terminate([instance.ref])
            if backend.inspect([instance.ref])[instance.ref].health is not Health.GONE:
                world.save_instance(instance, next_check_in=world.timing.retry)
                return
    except errors.BackendError as error:
        world.save_instance(
            replace(instance, wrong=instance.wrong or f"{error.code}: {error.summary}"),
            next_check_in=world.timing.longest_retry,
        )
        return
    gone = replace(_move(instance, InstanceStatus.TERMINATED), terminated_at=world.clock())
    world.save_instance(gone, next_check_in=None)
    world.links.forget(instance, keys=True)
    world.wake_job(instance.job_id)
