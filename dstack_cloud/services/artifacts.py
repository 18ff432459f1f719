"""What jobs left behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.backends.base import KeepsSetups, KeptSetup
from dstack_cloud.domain.runs import Job, Run
from dstack_cloud.services import results, runs
from dstack_cloud.services.context import Context
from dstack_cloud.storage import artifacts, caches, layout

# where caches lie, as against a backend's machine
STORE = "store"


def list_artifacts(context: Context, project: str, name: str) -> list[schemas.ArtifactView]:
    run, jobs = _find(context, project, name)
    found: list[schemas.ArtifactView] = []
    for job in jobs:
        manifest = artifacts.load_manifest(context.store(project), layout.JobPlace(run.name, job.name))
        found += [
            {"job": job.name, "path": entry.path, "size": entry.size, "kind": entry.kind, "sha256": entry.sha256}
            for entry in (manifest.entries if manifest else ())
        ]
    return found


def _find(context: Context, project: str, name: str) -> tuple[Run, list[Job]]:
    """A run, a job, or `NAME:TAG` and `:TAG`: the job whose outputs these stand for."""
    if ":" in name:
        name = results.tagged(context, project, name).id
    return runs.find(context, project, name)


def archive(context: Context, project: str, name: str, prefix: str) -> Iterator[bytes]:
    """A tar stream of one job's artifacts: of a run, those of its workflow, or else of the last job that has any; of several nodes
    those of all, the first over the others. Raises NotFound where there are none."""
    run, jobs = _find(context, project, name)
    store = context.store(project)
    for _, nodes in itertools.groupby(reversed(jobs), key=lambda job: job.spec.workflow):
        manifests = [artifacts.load_manifest(store, layout.JobPlace(run.name, job.name)) for job in nodes]
        found = [manifest for manifest in manifests if manifest is not None and manifest.below(prefix)]
        if found:
            return artifacts.archive(store, *found, prefix=prefix)
    what = f"no artifact {prefix!r}" if prefix else "no artifacts"
    raise errors.NotFound(f"{name} has {what}", "`dstack artifacts RUN` lists what there is")


def list_caches(context: Context, project: str, workflow: str) -> schemas.PruneView:
    """Also what setups made. Raises BackendError where a machine that keeps some can't be asked."""
    return _pruned(caches.list_caches(context.store(project), workflow), _kept(context, project, workflow))


def prune_caches(context: Context, project: str, workflow: str, older_than: float | None) -> schemas.PruneView:
    """`older_than` is UTC seconds: only what was saved, or on a machine used, before."""
    kept = [
        (name, setup)
        for name, setup in _kept(context, project, workflow)
        if older_than is None or setup.used_at < older_than
    ]
    for name, backend in _keepers(context, project):
        backend.remove_setups([setup.ref for place, setup in kept if place == name])
    return _pruned(caches.prune(context.store(project), workflow, older_than), kept)


def _keepers(context: Context, project: str) -> Iterator[tuple[str, KeepsSetups]]:
    for name, backend in context.backends(project).items():
        if isinstance(backend, KeepsSetups):
            yield name, backend


def _kept(context: Context, project: str, workflow: str) -> list[tuple[str, KeptSetup]]:
    return [
        (name, setup)
        for name, backend in _keepers(context, project)
        for setup in backend.setups()
        if workflow in ("", setup.workflow)
    ]


def _pruned(stored: Sequence[caches.CacheEntry], kept: Sequence[tuple[str, KeptSetup]]) -> schemas.PruneView:
    views: list[schemas.CacheView] = [
        {"workflow": entry.workflow, "place": STORE, "size": entry.size, "modified_at": entry.modified_at}
        for entry in stored
    ]
    views += [
        {"workflow": setup.workflow, "place": name, "size": setup.size, "modified_at": setup.used_at}
        for name, setup in kept
    ]
    return {"entries": views, "bytes": sum(view["size"] for view in views)}
