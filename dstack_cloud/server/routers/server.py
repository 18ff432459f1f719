from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import own_providers, workflows
from dstack_cloud.version import __version__

router = APIRouter()


@router.get("/api/server")
def get_server(request: Request, context: ServerContext) -> schemas.ServerView:
    state = request.app.state
    return {
        "version": __version__,
        "pid": state.pid,
        "started_at": state.started_at,
        "active_jobs": len(context.world.database.jobs.unfinished()),
        "home": str(state.home),
    }


@router.post("/api/server/stop")
def stop_server(request: Request) -> schemas.Json:
    request.app.state.stop()
    return {}


@router.get("/api/schema")
def get_schema() -> dict[str, Any]:
    return own_providers.schema()


@router.post("/api/projects/{project}/workflow")
def workflow(project: str, body: schemas.WorkflowRequest, context: ServerContext) -> schemas.WorkflowDetail:
    context.project(project)
    return workflows.describe_workflow(body["files"], body["workflow"])


@router.post("/api/projects/{project}/check")
def check(project: str, body: schemas.CheckRequest, context: ServerContext) -> schemas.CheckView:
    context.project(project)
    return workflows.check_files(body["files"])
