"""The step of jobs that run together, while they have machines: node 0's is the step of all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from dstack_cloud import errors
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus, check_instance, check_job
from dstack_cloud.orchestrator import groups, placement, plan, together
from dstack_cloud.orchestrator.dispatch import longest_run
from dstack_cloud.orchestrator.groups import Node, Verdict
from dstack_cloud.orchestrator.reports import STOPPING, last_word, store_name
from dstack_cloud.orchestrator.searching import give_up
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.link import LinkError

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
# so many nodes are asked or told one after the other; of more, so many at once
FEW, WIDTH = 4, 16


def watch(world: World, first: Job) -> None:
    found = _look(world, first)
    if not found:
        give_up(world, first, "lost", "one of its machines is unknown")
        return
    doing = groups.doing(found)
    if doing == "again":
        refused = next(node.instance for node in found if node.instance.status is InstanceStatus.REFUSED)
        _settle(world, found, groups.again(found, placement.refused_message(refused)))
    elif doing == "conclude":
        _conclude(world, found)
    elif doing == "end":
        _end(world, found)
    else:
        _save_changed(world, found, [groups.progress(node, world.clock()) for node in found], world.timing.poll)


def _look(world: World, first: Job) -> list[Node]:
    """Empty where one has no machine at all. Raises StoreError where the word of one that is gone can't be read, or of any of them
    while none is: the others of one that is known to be gone don't work on alone while the store is away."""
    jobs = together.members(world, first)
    found = [each for each in together.machines(world, jobs) if each is not None]
    if len(found) < len(jobs):
        return []
    looked = at_once(lambda pair: _look_at(world, *pair), list(zip(jobs, found, strict=True)))
    unread = [error for _, error in looked if error is not None]
    if unread and not any(node.over for node, _ in looked):
        raise unread[0]
    return [node for node, _ in looked]


def _look_at(world: World, job: Job, instance: Instance) -> tuple[Node, errors.StoreError | None]:
    """Raises StoreError for one that is gone."""
    try:
        report, unreadable = last_word(world, job, instance)
    except errors.StoreError as error:
        node = Node(job, instance)
        if node.gone:
            raise
        return node, error
    node = Node(job, instance, report, unreadable)
    return (node if unreadable or node.reported else replace(node, failure=_failure(world, node))), None


def at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """In order. Few are done one after the other."""
    if len(items) <= FEW:
        return [work(item) for item in items]
    with ThreadPoolExecutor(WIDTH, thread_name_prefix="nodes") as pool:
        return list(pool.map(work, items))


def _failure(world: World, node: Node) -> tuple[str, str] | None:
    """(reason, message) where its machine went without a last word for what another one wouldn't mend."""
    instance, job = node.instance, node.job
    if not node.gone or instance.status is InstanceStatus.REFUSED:
        return None
    if unsaved := plan.unsaved(job, instance, node.report, store_name(world, job), world.clock()):
        return unsaved
    let_go = instance.ending is Ending.NONE and job.status not in together.ENDING
    if instance.ending is Ending.FAILED or let_go:
        return "lost", plan.lost_message(instance)
    return None


def _conclude(world: World, nodes: Sequence[Node]) -> None:
    launches = world.database.instances.of_jobs([node.job.id for node in nodes])
    longest = longest_run(nodes[0].job.spec, world.backend_of(nodes[0].instance).capabilities)
    _settle(world, nodes, groups.conclude(nodes, launches, longest, world.clock()))


def _settle(world: World, nodes: Sequence[Node], verdict: Verdict) -> None:
    """All at once; machines that nobody wants any more are let go by their own steps."""
    with world.database.transaction():
        for ended in verdict.ended:
            # without its lease: a step that is under way finds its row changed, and looks again
            world.database.instances.save(ended, release=False)
        finished = verdict.jobs[0].status.finished
        together.save_all(world, verdict.jobs, next_check_in=None if finished else 0.0)
    for node in nodes:
        world.wake_instance(node.instance.id)
    world.changes.notify()
    world.wake()


def _end(world: World, nodes: Sequence[Node]) -> None:
    """Those that still work are asked to end, again and again until they do; what hasn't begun ends at once. An abort that can't
    be told needs no answer."""
    wish = groups.request_of([node.job for node in nodes])
    status, why = STOPPING[wish or "stop"], groups.why_ended(nodes)
    working = [node for node in nodes if not node.over]
    told = at_once(lambda node: _tell(world, node, abort=wish == "abort"), working)
    deaf = [node for node, knows in zip(working, told, strict=True) if not knows]
    if deaf and wish == "abort":
        _settle(world, nodes, groups.aborted(nodes, world.clock()))
        return
    jobs = []
    for node in nodes:
        if node.over or node in deaf:
            jobs.append(groups.progress(node, world.clock()) if node.well else node.job)
        else:
            jobs.append(replace(node.job, status=check_job(node.job.status, status), message=why))
    _save_changed(world, nodes, jobs, world.timing.longest_retry if deaf else world.timing.poll)
    for node in nodes:
        world.wake_instance(node.instance.id)


def _tell(world: World, node: Node, *, abort: bool) -> bool:
    """Whether it knows."""
    saving = node.report is not None and node.report.phase == "uploading"
    if node.instance.status is not InstanceStatus.BUSY or (saving and not abort):
        return True
    try:
        world.links.open(node.instance).stop(abort=abort)
    except (LinkError, errors.RunnerUnreachable, errors.SshError) as error:
        log.info("%s can't be told to end: %s", node.instance.id, error)
        return False
    return True


def _save_changed(world: World, nodes: Sequence[Node], jobs: Sequence[Job], next_check_in: float) -> None:
    """A machine whose job is over goes at once, whatever the others still do."""
    changed = [job for job, node in zip(jobs[1:], nodes[1:], strict=True) if job != node.job]
    over = [node.instance for node in nodes if node.reported and node.instance.status is InstanceStatus.BUSY]
    with world.database.transaction():
        for instance in over:
            world.database.instances.save(_leaving(world, instance), release=False)
        together.save_all(world, [jobs[0], *changed], next_check_in=next_check_in)
    for instance in over:
        world.wake_instance(instance.id)


def _leaving(world: World, instance: Instance) -> Instance:
    leaving = check_instance(instance.status, InstanceStatus.TERMINATING)
    return replace(instance, status=leaving, next_check_at=world.clock())
