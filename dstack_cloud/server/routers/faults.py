from __future__ import annotations

from fastapi import APIRouter

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import faults

router = APIRouter(prefix="/api/projects/{project}/runs/{run}")


@router.post("/fault")
def inflict(project: str, run: str, body: schemas.FaultRequest, context: ServerContext) -> schemas.RunView:
    return faults.inflict(context, project, run, body)


@router.get("/saves")
def list_saves(project: str, run: str, context: ServerContext) -> list[schemas.SaveView]:
    return faults.list_saves(context, project, run)
