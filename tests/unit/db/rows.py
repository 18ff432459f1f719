"""Rows with everything that can be in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dstack_cloud.db import SqlDatabase
from dstack_cloud.domain.jobs import JobSpec, PortMapping, SavedPath
from dstack_cloud.domain.resources import Gpu, GpuRequirement, Machine, Offer, Requirements, SpotPolicy
from dstack_cloud.domain.runs import CodeRef, Instance, Job, Run
from dstack_cloud.domain.states import InstanceStatus, JobStatus

SPEC = JobSpec(
    workflow="träin 🚂",
    provider="bash",
    commands=("echo 'x'", "a\nb"),
    entrypoint=("sh", "-c"),
    artifacts=(SavedPath(path="out", mount=True),),
    ports=(PortMapping(app=8000, local=8001),),
    requirements=Requirements(
        memory=2**40, gpu=GpuRequirement(name="A100", memory=80 * 2**30), spot_policy=SpotPolicy.AUTO, max_price=0.1
    ),
    max_duration=3600,
)
OFFER = Offer(
    backend="aws",
    region="eu-1",
    instance_type="g5",
    machine=Machine(cpu=4, memory=2**34, gpus=(Gpu(name="A10G", memory=24 * 2**30),)),
    spot=True,
    price=0.123456789,
)


def a_run(name: str = "shady-1", **changes: Any) -> Run:
    run = Run(
        f"id-{name}", "main", name, "train", CodeRef("ab" * 32, 2**40, 7), "best", ("--lr", "0.1"), 1_700_000_000.25
    )
    return replace(run, **changes)


def a_job(run: Run, name: str = "train", **changes: Any) -> Job:
    job = Job(
        id=f"{run.name}.{name}",
        run_id=run.id,
        project=run.project,
        run_name=run.name,
        name=name,
        spec=SPEC,
        code=run.code,
        sealed=b"\0\xffsealed",
        submitted_at=1_700_000_000.123456,
    )
    return replace(job, **changes)


def an_instance(job: Job, key: str = "i-1", **changes: Any) -> Instance:
    return replace(Instance(key, job.project, job.id, job.run_name, 1, OFFER, created_at=1.5), **changes)


def fill(database: SqlDatabase, *names: str, **changes: Any) -> list[Job]:
    """One run with one job each."""
    jobs = []
    with database.transaction():
        for name in names:
            run = a_run(name)
            database.runs.add(run)
            jobs.append(a_job(run, **changes))
            database.jobs.add(jobs[-1])
    return jobs


FINISHED = JobStatus.DONE
GONE = InstanceStatus.TERMINATED
