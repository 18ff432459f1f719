from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.server.routers.streaming import body_chunks
from dstack_cloud.services import access, changes, logs, resuming, runs, tags, workflows
from dstack_cloud.services import follow as following

router = APIRouter(prefix="/api/projects/{project}")

OCTETS = "application/octet-stream"


@router.post("/plan")
def plan(project: str, body: schemas.RunRequest, context: ServerContext) -> schemas.PlanView:
    return workflows.plan_view(workflows.plan_run(context, project, body))


@router.post("/runs")
def submit(project: str, body: schemas.RunRequest, context: ServerContext) -> schemas.RunView:
    return runs.submit(context, project, body)


@router.get("/runs")
def list_runs(
    project: str,
    context: ServerContext,
    everything: Annotated[bool, Query(alias="all")] = False,
    last: Annotated[int | None, Query(ge=1)] = None,
) -> list[schemas.RunView]:
    return runs.list_runs(context, project, everything=everything, last=last)


@router.get("/runs/{run}")
def get_run(project: str, run: str, context: ServerContext) -> schemas.RunView:
    found, _ = runs.find(context, project, run)
    return runs.view(context, found)


@router.delete("/runs/{run}")
def remove(project: str, run: str, context: ServerContext) -> schemas.Json:
    runs.remove(context, project, run)
    return {}


@router.get("/runs/{run}/access")
def get_access(project: str, run: str, context: ServerContext) -> list[schemas.AccessView]:
    return access.job_access(context, project, run)


@router.post("/runs/{run}/stop")
def stop(project: str, run: str, body: schemas.StopRequestBody, context: ServerContext) -> schemas.RunView:
    return runs.stop(context, project, run, abort=body["abort"])


@router.put("/runs/{run}/changes")
async def put_changes(
    project: str, run: str, attempt: int, request: Request, context: ServerContext
) -> schemas.ChangesView:
    return await anyio.to_thread.run_sync(changes.send, context, project, run, attempt, body_chunks(request))


@router.post("/runs/{run}/resume")
def resume(project: str, run: str, context: ServerContext) -> schemas.ResumedView:
    return resuming.resume(context, project, run)


@router.post("/runs/{run}/restart")
def restart(project: str, run: str, body: schemas.RestartRequest, context: ServerContext) -> schemas.ResumedView:
    return resuming.restart(context, project, run, clear=body["clear"])


@router.get("/runs/{run}/follow")
def follow(project: str, run: str, context: ServerContext, offsets: str = "{}") -> StreamingResponse:
    follower = following.Follower(context, project, run, following.read_offsets(offsets))
    return StreamingResponse(follower.frames(), media_type=OCTETS)


@router.post("/runs/{run}/tag")
def tag(project: str, run: str, body: schemas.TagBody, context: ServerContext) -> schemas.RunView:
    return tags.tag(context, project, run, body["tag"])


@router.get("/tags")
def list_tags(project: str, context: ServerContext) -> list[schemas.TagView]:
    return tags.list_tags(context, project)


@router.delete("/tags/{name}")
def untag(project: str, name: str, context: ServerContext) -> list[schemas.TagView]:
    return tags.untag(context, project, name)


@router.get("/runs/{run}/logs")
def read_logs(
    project: str,
    run: str,
    http: Request,
    context: ServerContext,
    request: Annotated[logs.LogRequest, Depends()],
) -> StreamingResponse:
    _, jobs = runs.find(context, project, run)
    logs.check_attempt(jobs, request)
    chunks = (chunk for job in jobs for chunk in logs.read_log(context, job.id, request))
    return StreamingResponse(_while_read(http, chunks), media_type=OCTETS)


async def _while_read(http: Request, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """An empty chunk is a moment to look whether anybody still reads: nothing else would tell while a job is silent."""
    async for chunk in iterate_in_threadpool(chunks):
        if chunk:
            yield chunk
        elif await http.is_disconnected():
            return
