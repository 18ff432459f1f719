"""What becomes of the setups of a run that is only planned: what they made before is there, or they are to be built."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from dstack_cloud.api import schemas
from dstack_cloud.backends.base import KeepsSetups
from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.orchestrator.dispatch import runner_job
from dstack_cloud.runner_bootstrap.payload import setup_key
from dstack_cloud.runner_bootstrap.payload.job import Job as RunnerJob
from dstack_cloud.runner_bootstrap.payload.job import parse_job
from dstack_cloud.services.context import Context
from dstack_cloud.services.pipelines import PlannedJob
from dstack_cloud.storage import setups

STORE = "store"
# stands for what has no name yet
NOBODY = "plan"


def views(
    context: Context, project: str, request: schemas.RunRequest, jobs: Sequence[PlannedJob]
) -> dict[str, schemas.SetupView]:
    """By workflow, of those that run and have one; whether it is there, where `request` has the digests that decide it."""
    found = {}
    for job in jobs:
        if job.spec.setup and job.reused is None:
            asked = request.get("setups", {}).get(job.spec.workflow)
            found[job.spec.workflow] = _view(context, project, job, asked)
    return found


def _view(context: Context, project: str, job: PlannedJob, digests: Mapping[str, str] | None) -> schemas.SetupView:
    spec = job.spec
    given = [path for need in job.needs for path in need.paths]
    view: schemas.SetupView = {
        "state": "",
        "places": [],
        "commands": list(spec.setup),
        "working_dir": spec.working_dir,
        "caches": [saved.path for saved in spec.cache],
        "made": [*(saved.path for saved in spec.artifacts), *given],
    }
    if digests is None or not job.offers:
        return view
    if spec.rebuild:
        return {**view, "state": "rebuild"}
    if any(_is_named(path, spec.setup) for path in given):
        return {**view, "state": "unknown"}
    places = list(_places(context, project, job, digests))
    return {**view, "state": "kept" if places else "missing", "places": places}


def _is_named(path: str, commands: Sequence[str]) -> bool:
    name = posixpath.normpath(path)
    return name == "." or any(name in command for command in commands)


def _places(context: Context, project: str, job: PlannedJob, digests: Mapping[str, str]) -> Iterator[schemas.KeptView]:
    """Where the first offer's machine would find it: on itself, where that stays, or in the store."""
    offer = job.offers[0]
    told = _told(context, project, job, offer)
    beginning, backend = setup_key.asked(told, digests), context.backends(project)[offer.backend]
    if isinstance(backend, KeepsSetups):
        kept = [setup for setup in backend.setups() if setup.key.startswith(beginning)]
        if kept:
            yield {"place": offer.backend, "size": max(kept, key=lambda setup: setup.used_at).size}
    if told.mode == "docker":
        size = setups.find_setup(context.store(project), job.spec.workflow, beginning)
        if size is not None:
            yield {"place": STORE, "size": size}


def _told(context: Context, project: str, planned: PlannedJob, offer: Offer) -> RunnerJob:
    """The job as its runner would be told of it."""
    name = planned.spec.workflow
    job = Job(
        id=NOBODY, run_id=NOBODY, project=project, run_name=NOBODY, name=name, spec=planned.spec, needs=planned.needs,
        sealed=context.sealer.seal(planned.confidential),
    )  # fmt: skip
    instance = Instance(NOBODY, project, NOBODY, NOBODY, 1, offer)
    return parse_job(runner_job(context.world, instance, job, context.world.backend_of(instance).capabilities))
