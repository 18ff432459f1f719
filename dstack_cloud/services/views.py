"""Rows as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dstack_cloud.api import schemas
from dstack_cloud.domain.git import GitState
from dstack_cloud.domain.resources import CURRENCY, Offer, describe
from dstack_cloud.domain.runs import CodeRef, Instance, Job, Run, run_status
from dstack_cloud.domain.states import JobStatus


def run_view(run: Run, jobs: Sequence[Job], instances: Mapping[str, Sequence[Instance]], now: float) -> schemas.RunView:
    """`instances` by job id; `now` is UTC seconds, to which a living machine has cost."""
    views = [job_view(job, instances.get(job.id, ()), now) for job in jobs]
    ends = [job.finished_at for job in jobs]
    finished = all(job.status.finished for job in jobs)
    return {
        "name": run.name,
        "workflow": run.workflow,
        "project": run.project,
        "status": str(run_status(list(jobs))),
        "tag": run.tag,
        "variables": dict(run.variables),
        "args": list(run.args),
        "submitted_at": run.created_at,
        "finished_at": max((end for end in ends if end is not None), default=None) if finished else None,
        "exit_code": _exit_code(run, jobs),
        "cost": total(view["cost"] for view in views),
        "currency": CURRENCY,
        "code": code_view(run.code),
        "git": git_view(run.git),
        "jobs": views,
    }


def _exit_code(run: Run, jobs: Sequence[Job]) -> int | None:
    """Of the first job that failed, else of the run's workflow."""
    failed = [job for job in jobs if job.exit_code and job.status is not JobStatus.DONE]
    if failed:
        return min(failed, key=lambda job: job.finished_at or float("inf")).exit_code
    return next((job.exit_code for job in jobs if job.name == run.workflow), None)


def job_view(job: Job, instances: Sequence[Instance], now: float) -> schemas.JobView:
    return {
        "id": job.id,
        "name": job.name,
        "status": str(job.status),
        "attempt": job.attempt,
        "exit_code": job.exit_code,
        "reason": job.reason,
        "message": job.message,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "node": job.node,
        "nodes": job.spec.nodes,
        "ports": [{"app": port.app, "local": port.local} for port in job.spec.ports],
        "needs": [{"id": need.id, "how": need.how, "given": need.given} for need in job.needs],
        "instances": [instance_view(instance) for instance in instances],
        "cost": total(cost(instance, now) for instance in instances),
        "currency": CURRENCY,
    }


def instance_view(instance: Instance) -> schemas.InstanceView:
    return {
        "id": instance.id,
        "backend": instance.offer.backend,
        "region": instance.offer.region,
        "zone": instance.offer.zone,
        "instance_type": instance.offer.instance_type,
        "spot": instance.offer.spot,
        "price": instance.offer.price,
        "currency": CURRENCY,
        "status": str(instance.status),
        "attempt": instance.attempt,
        "wrong": instance.wrong,
        "ending": str(instance.ending),
        "created_at": instance.created_at,
        "terminated_at": instance.terminated_at,
    }


def cost(instance: Instance, now: float) -> float | None:
    """USD so far; None where it has a price that isn't known."""
    if instance.started_at is None:
        return 0.0
    if instance.offer.price is None:
        return None
    return instance.offer.price * ((instance.terminated_at or now) - instance.started_at) / 3600


def total(costs: Iterable[float | None]) -> float | None:
    """None where any of them isn't known: a sum without it would be told as the whole."""
    known = list(costs)
    return None if None in known else sum(each for each in known if each is not None)


def code_view(code: CodeRef | None) -> schemas.CodeView | None:
    return None if code is None else {"sha256": code.sha256, "size": code.size, "files": code.files}


def git_view(state: GitState | None) -> schemas.GitView | None:
    if state is None:
        return None
    return {"remote": state.remote, "branch": state.branch, "commit": state.commit, "dirty": state.dirty}


def offer_view(offer: Offer) -> schemas.OfferView:
    return {
        "backend": offer.backend,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "resources": describe(offer.machine),
        "spot": offer.spot,
        "price": offer.price,
        "currency": CURRENCY,
    }
