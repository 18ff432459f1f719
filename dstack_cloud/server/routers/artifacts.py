from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.server.routers.streaming import body_chunks
from dstack_cloud.services import artifacts, uploads

router = APIRouter(prefix="/api/projects/{project}")


@dataclass(frozen=True)
class UploadTarget:
    name: str
    tag: str
    path: str


@router.get("/runs/{run}/artifacts")
def list_artifacts(project: str, run: str, context: ServerContext) -> list[schemas.ArtifactView]:
    return artifacts.list_artifacts(context, project, run)


@router.get("/runs/{run}/artifacts/archive")
def archive(project: str, run: str, context: ServerContext, path: str = "") -> StreamingResponse:
    return StreamingResponse(artifacts.archive(context, project, run, path), media_type="application/x-tar")


@router.put("/uploads")
async def upload(
    project: str, request: Request, context: ServerContext, target: Annotated[UploadTarget, Depends()]
) -> schemas.RunView:
    chunks = body_chunks(request)
    return await anyio.to_thread.run_sync(uploads.put, context, project, target.name, target.tag, target.path, chunks)


@router.get("/cache")
def list_caches(project: str, context: ServerContext, workflow: str = "") -> schemas.PruneView:
    return artifacts.list_caches(context, project, workflow)


@router.delete("/cache")
def prune_caches(
    project: str, context: ServerContext, workflow: str = "", older_than: float | None = None
) -> schemas.PruneView:
    return artifacts.prune_caches(context, project, workflow, older_than)
