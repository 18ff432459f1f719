from __future__ import annotations

from fastapi import APIRouter

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import secrets

router = APIRouter(prefix="/api/projects/{project}/secrets")


@router.get("")
def list_secrets(project: str, context: ServerContext) -> list[schemas.SecretView]:
    return secrets.list_secrets(context, project)


@router.post("")
def add(project: str, body: schemas.SecretRequest, context: ServerContext) -> schemas.Json:
    secrets.add(context, project, body["name"], body["value"])
    return {}


@router.put("/{name}")
def update(project: str, name: str, body: schemas.SecretValue, context: ServerContext) -> schemas.Json:
    secrets.update(context, project, name, body["value"])
    return {}


@router.delete("/{name}")
def delete(project: str, name: str, context: ServerContext) -> schemas.Json:
    secrets.delete(context, project, name)
    return {}
