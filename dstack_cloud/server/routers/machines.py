from __future__ import annotations

from fastapi import APIRouter

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import machines

router = APIRouter(prefix="/api/projects/{project}")


@router.post("/offers")
def find_offers(project: str, body: schemas.OffersRequest, context: ServerContext) -> schemas.OffersView:
    return machines.find_offers(context, project, body)


@router.get("/instances")
def list_machines(project: str, context: ServerContext, orphans: bool = False) -> list[schemas.MachineView]:
    return machines.list_orphans(context, project) if orphans else machines.list_machines(context, project)


@router.get("/runners")
def list_runners(project: str, context: ServerContext) -> list[schemas.RunnerView]:
    return machines.list_runners(context, project)


@router.get("/findings")
def check(project: str, context: ServerContext) -> list[schemas.FindingView]:
    return machines.check(context, project)
