"""What a carrier is told of a job, and whether the machine itself may be it."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import replace
from urllib.parse import urlsplit

from dstack_cloud import errors
from dstack_cloud.backends.base.access import StoreAccess
from dstack_cloud.courier.errand import Errand, MachineStore
from dstack_cloud.domain.runs import Instance, Job, Need
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.orchestrator.world import World
from dstack_cloud.storage import artifacts, layout
from dstack_cloud.storage.base import Store

log = logging.getLogger(__name__)

# between two saves of the artifacts of a job whose machine may be taken away at any time, and of one whose workflow says
# `mount: true`; seconds
SYNC_SECONDS = 60.0
MOUNT_SECONDS = 15.0
# what is asked for at least and at most: for as long as the machine may live, should the server not be back before. A cloud that
# lends for less is asked again in time
SHORTEST_LOAN, LONGEST_LOAN = 3600, 36 * 3600
# a machine's own; to others they lead nowhere
LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


def errand_of(instance: Instance, job: Job) -> Errand:
    """A later attempt goes on with the artifacts that the ones before it saved."""
    saves = bool(job.spec.artifacts)
    return Errand(
        attempt_id=instance.id,
        run=job.run_name,
        job=job.name,
        attempt=instance.attempt,
        workflow=job.spec.workflow,
        code=job.code.sha256 if job.code else None,
        caches=tuple(saved.path for saved in job.spec.cache),
        deps=tuple(layout.JobPlace(need.run, name) for need in job.needs if need.paths for name in need.jobs),
        restore=saves and instance.attempt > 1,
        sync=_sync(instance, job) if saves else None,
        keeps_caches=job.node == 0,
    )


def with_contents(world: World, job: Job) -> Job:
    """With what is there of its needs just before it is given them: where that changes meanwhile, the job is only not used
    again. Raises StoreError."""
    if not any(need.paths for need in job.needs):
        return job
    store = world.store_of(job)
    found = [content_of(store, need) for need in job.needs]
    needs = tuple(replace(need, content=content) for need, content in zip(job.needs, found, strict=True))
    return replace(job, needs=needs)


def content_of(store: Store, need: Need) -> str:
    """What stands for all that is there of it; "" where nothing is. Raises StoreError."""
    if not need.paths:
        return ""
    found = [artifacts.content_of(store, layout.JobPlace(need.run, name)) for name in need.jobs]
    return ",".join(found) if all(found) else ""


def withdraw_outputs(world: World, job: Job) -> None:
    """Of an aborted job nothing is kept, also what its earlier attempts saved on the way. For one that no carrier serves."""
    if job.status is not JobStatus.ABORTED or not job.spec.artifacts or not job.attempt:
        return
    try:
        artifacts.withdraw(world.store_of(job), layout.JobPlace(job.run_name, job.name))
    except errors.StoreError as error:
        # a store that fails must not keep a job from being stopped
        log.warning("the artifacts of %s stay: %s", job.id, error.summary)


def _sync(instance: Instance, job: Job) -> float | None:
    if any(artifact.mount for artifact in job.spec.artifacts):
        return MOUNT_SECONDS
    return SYNC_SECONDS if instance.offer.spot else None


def machine_store(world: World, instance: Instance, errand: Errand) -> MachineStore | None:
    """How its machine reaches the store; None: only the server does. Raises StoreError, ConfigurationError."""
    access = world.access.get(instance.project)
    capabilities = world.backend_of(instance).capabilities
    if access is None or not capabilities.remote or _on_this_computer(access):
        return None
    if capabilities.store == urlsplit(access.url).scheme and not access.foreign:
        return MachineStore(access.url, access.options)
    left = 0 if instance.deadline is None else int(instance.deadline - world.clock())
    reads = tuple(place.prefix for place in errand.deps)
    lent = access.lend(_prefixes(errand), min(max(left, SHORTEST_LOAN), LONGEST_LOAN), reads)
    return None if lent is None else MachineStore(access.url, access.options, lent)


def _on_this_computer(access: StoreAccess) -> bool:
    if urlsplit(access.url).scheme in ("file", "memory"):
        return True
    place = access.options.get("endpoint") or access.options.get("base_url") or ""
    host = urlsplit(place).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES


def _prefixes(errand: Errand) -> tuple[str, ...]:
    """All that the job may change in the store."""
    code = (layout.code(errand.code),) if errand.code else ()
    return (*code, errand.job_place.prefix, layout.cache_prefix(errand.workflow), layout.statuses(errand.attempt_id))
