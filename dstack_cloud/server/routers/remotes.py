from __future__ import annotations

from fastapi import APIRouter

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import remotes

router = APIRouter(prefix="/api/projects/{project}/remotes")


@router.get("")
def list_remotes(project: str, context: ServerContext) -> list[schemas.RemoteView]:
    return remotes.list_remotes(context, project)


@router.put("")
def put(project: str, body: schemas.RemoteRequest, context: ServerContext) -> schemas.Json:
    remotes.put(context, project, body)
    return {}


@router.delete("")
def delete(project: str, remote: str, context: ServerContext) -> schemas.Json:
    remotes.delete(context, project, remote)
    return {}
