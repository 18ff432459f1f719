"""Nodes that work together: all of them or none. Pure functions of what was read.

The step of node 0 decides for all of them, and records it for all of them at once: no other step changes their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from dstack_cloud.domain.runs import Instance, Job, StopRequest
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus, check_job
from dstack_cloud.orchestrator import plan
from dstack_cloud.orchestrator.plan import RunnerReport

# how a runner's word ends that was asked to end, or whose machine is taken back
_ASKED = frozenset({"stopped", "aborted"})
_INTERRUPTED = "interrupted"
_ENDING = frozenset({JobStatus.STOPPING, JobStatus.ABORTING})
# of a node that ends because another did
REASON = "node"
WAITS = "done, and waits for the other nodes"


@dataclass(frozen=True)
class Node:
    """One of them as it was found. `failure` is (reason, message) where its machine went for what another wouldn't mend."""

    job: Job
    instance: Instance
    report: RunnerReport | None = None
    failure: tuple[str, str] | None = None

    @property
    def gone(self) -> bool:
        return self.instance.status is InstanceStatus.TERMINATING or not self.instance.status.alive

    @property
    def reported(self) -> bool:
        return self.report is not None and self.report.phase == "finished"

    @property
    def over(self) -> bool:
        return self.reported or self.gone

    @property
    def reason(self) -> str:
        return self.report.reason if self.reported and self.report else ""

    @property
    def well(self) -> bool:
        return self.reported and not self.reason and self.report is not None and self.report.exit_code == 0

    @property
    def failed(self) -> bool:
        """By itself."""
        if self.reported:
            return not self.well and self.reason not in _ASKED and self.reason != _INTERRUPTED
        return self.failure is not None

    @property
    def ending(self) -> Ending:
        """Why another machine is wanted for it; NONE: that isn't so."""
        if self.reason == _INTERRUPTED:
            return Ending.INTERRUPTED
        if self.reported or not self.gone or self.failure is not None:
            return Ending.NONE
        return Ending.INTERRUPTED if self.report is not None and self.report.noticed else self.instance.ending

    @property
    def taken(self) -> bool:
        """Its machine went before it was asked to end. What the other nodes' programs make of that isn't held against them."""
        return self.reason == _INTERRUPTED or (self.ending is not Ending.NONE and self.job.status not in _ENDING)


Doing = Literal["again", "end", "conclude", "follow"]


def request_of(jobs: Sequence[Job]) -> StopRequest:
    """What the user asked for of one is for all."""
    wishes = {job.stop_request for job in jobs}
    return "abort" if "abort" in wishes else "stop" if "stop" in wishes else ""


def doing(nodes: Sequence[Node]) -> Doing:
    """`again`: one can't be had, so the others are given back; `end`: those that still work are asked to end."""
    wish = request_of([node.job for node in nodes])
    if not wish and any(node.instance.status is InstanceStatus.REFUSED for node in nodes):
        return "again"
    if all(node.over for node in nodes):
        return "conclude"
    if wish or any(node.over and not node.well for node in nodes):
        return "end"
    return "follow"


def like(job: Job, first: Job) -> Job:
    """A node without a machine, after what was decided for node 0."""
    return replace(
        job,
        status=check_job(job.status, first.status),
        stop_request=first.stop_request,
        attempt=first.attempt,
        instance_id="",
        exit_code=None,
        reason=first.reason,
        message=first.message,
        submitted_at=first.submitted_at,
        started_at=first.started_at,
        finished_at=first.finished_at,
        searching_since=first.searching_since,
        round=first.round,
        running_since=first.running_since,
        ran=first.ran,
        clear=first.clear,
        needs=first.needs,
    )


def progress(node: Node, now: float) -> Job:
    """Of one that isn't to be ended: what its runner said last."""
    if node.report is None:
        return node.job
    if not node.reported:
        return plan.follow_report(node.job, node.report, now)
    job = plan.follow_report(node.job, replace(node.report, phase="uploading"), now)
    return replace(job, message=WAITS)


def why_ended(nodes: Sequence[Node]) -> str:
    """What is told of those that are asked to end; "" where it is the user's wish."""
    if request_of([node.job for node in nodes]):
        return ""
    first = next(node for node in nodes if node.over and not node.well)
    if first.failed:
        return f"ends, because node {first.job.node} failed"
    return (
        f"ends, because node {first.job.node} was {'lost' if first.ending is not Ending.INTERRUPTED else 'interrupted'}"
    )


@dataclass(frozen=True)
class Verdict:
    """How all of them go on: `jobs` in order of rank; `ended` are machines whose end was noted."""

    jobs: tuple[Job, ...]
    ended: tuple[Instance, ...] = ()


def again(nodes: Sequence[Node], message: str) -> Verdict:
    """The next offer is tried for all of them."""
    first = replace(
        nodes[0].job, status=check_job(nodes[0].job.status, JobStatus.PENDING), instance_id="", message=message
    )
    return Verdict(_all(nodes, first))


def conclude(nodes: Sequence[Node], launches: Sequence[Instance], longest: int | None, now: float) -> Verdict:
    """When none of them works any more. `launches`: all of theirs so far; `longest`: seconds that they may run."""
    wish = request_of([node.job for node in nodes])
    failed = [node for node in nodes if node.failed and (not wish or _came_first(node, nodes))]
    if all(node.well for node in nodes):
        return Verdict(tuple(plan.follow_report(node.job, node.report, now) for node in nodes if node.report))
    if failed and (wish or not any(node.taken for node in nodes)):
        first = min(failed, key=lambda node: _ended_at(node, now))
        return Verdict(tuple(_failed(node, first, now) for node in nodes))
    if wish:
        return Verdict(tuple(_stopped(node, wish, now) for node in nodes))
    return _elsewhere(nodes, launches, longest, now)


def _came_first(node: Node, nodes: Sequence[Node]) -> bool:
    """Before any that was asked to end: a program soon fails by itself where others of its kind have gone."""
    asked = [_ended_at(other, inf) for other in nodes if other.reason in _ASKED]
    return node.reported and _ended_at(node, inf) < min(asked, default=inf)


def aborted(nodes: Sequence[Node], now: float) -> Verdict:
    """Of an aborted job nothing is wanted: where a runner can't be told, all end at once."""
    return Verdict(tuple(_stopped(node, "abort", now) for node in nodes))


def _ended_at(node: Node, now: float) -> float:
    return now if node.report is None or node.report.ended_at is None else node.report.ended_at


def _failed(node: Node, first: Node, now: float) -> Job:
    """With its own words where it failed, too: the run has the exit code of the first that did."""
    if node.failed and node.report is not None and node.reported:
        return plan.follow_report(node.job, node.report, _ended_at(node, now))
    if node.failed and node.failure is not None:
        reason, message = node.failure
        return plan.finish(node.job, JobStatus.FAILED, now, reason=reason, message=message)
    job = replace(node.job, exit_code=0 if node.well else None)
    said = _failed(first, first, now).message
    return plan.finish(job, JobStatus.FAILED, now, reason=REASON, message=f"node {first.job.node} failed: {said}")


def _stopped(node: Node, wish: StopRequest, now: float) -> Job:
    code = node.report.exit_code if node.reported and node.report else None
    return plan.stopped(replace(node.job, stop_request=wish, exit_code=code), now)


def _elsewhere(nodes: Sequence[Node], launches: Sequence[Instance], longest: int | None, now: float) -> Verdict:
    moved = [node for node in nodes if node.ending is not Ending.NONE] or [nodes[0]]
    ended = {
        node.instance.id: replace(node.instance, ending=node.ending, wrong=node.instance.wrong or str(node.ending))
        for node in moved
    }
    timed = [plan.timed(node.job, node.report, now) if node.report else node.job for node in nodes]
    ran = max(plan.ran_for(job, now) for job in timed)
    first = replace(timed[0], ran=ran, running_since=None)
    seen = [ended.get(launch.id, launch) for launch in launches]
    who = f"node {moved[0].job.node}: "
    decided = plan.go_on(first, ended[moved[0].instance.id], seen, longest, now, who)
    return Verdict(_all(nodes, decided), tuple(ended.values()))


def _all(nodes: Sequence[Node], first: Job) -> tuple[Job, ...]:
    """A job that has ended still says which machine it had."""
    others = [like(node.job, first) for node in nodes[1:]]
    if first.status.finished:
        others = [replace(job, instance_id=node.job.instance_id) for job, node in zip(others, nodes[1:], strict=True)]
    return (first, *others)
