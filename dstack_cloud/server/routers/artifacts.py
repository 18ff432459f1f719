from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import artifacts

router = APIRouter(prefix="/api/projects/{project}")


@router.get("/runs/{run}/artifacts")
def list_artifacts(project: str, run: str, context: ServerContext) -> list[schemas.ArtifactView]:
    return artifacts.list_artifacts(context, project, run)


@router.get("/runs/{run}/artifacts/archive")
def archive(project: str, run: str, context: ServerContext, path: str = "") -> StreamingResponse:
    return StreamingResponse(artifacts.archive(context, project, run, path), media_type="application/x-tar")


@router.get("/cache")
def list_caches(project: str, context: ServerContext, workflow: str = "") -> schemas.PruneView:
    return artifacts.list_caches(context, project, workflow)


@router.delete("/cache")
def prune_caches(
    project: str, context: ServerContext, workflow: str = "", older_than: float | None = None
) -> schemas.PruneView:
    return artifacts.prune_caches(context, project, workflow, older_than)
