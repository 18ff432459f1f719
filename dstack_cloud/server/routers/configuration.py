from __future__ import annotations

from fastapi import APIRouter

from dstack_cloud.api import configuration as api
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import configuration, configuring

router = APIRouter(prefix="/api")


@router.get("/configuration")
def overview(context: ServerContext) -> api.ConfigurationView:
    return configuration.overview(context)


@router.put("/configuration/default")
def choose_default(project: str, context: ServerContext) -> api.WrittenView:
    return configuring.choose_default(context, project)


@router.post("/projects/{project}/logins")
def find_logins(project: str, body: api.LoginsRequest, context: ServerContext) -> dict[str, list[api.LoginView]]:
    return configuration.find_logins(context, project, body)


@router.put("/projects/{project}/configuration")
def configure(project: str, body: api.ProjectRequest, context: ServerContext) -> api.WrittenView:
    return configuring.configure(context, project, body)


@router.delete("/projects/{project}/configuration")
def delete_project(project: str, context: ServerContext) -> api.WrittenView:
    return configuring.delete_project(context, project)


@router.delete("/projects/{project}/backends/{name}")
def delete_backend(project: str, name: str, context: ServerContext) -> api.WrittenView:
    return configuring.delete_backend(context, project, name)


@router.get("/projects/{project}/backends/{name}/permissions")
def permissions(project: str, name: str, context: ServerContext) -> api.PermissionsView:
    return configuration.permissions(context, project, name)


@router.post("/projects/{project}/backends/{name}/prepare")
def prepare(project: str, name: str, context: ServerContext) -> api.PreparedView:
    return configuration.prepare(context, project, name)
