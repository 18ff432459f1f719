from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.server.routers.streaming import body_chunks
from dstack_cloud.services import code

router = APIRouter(prefix="/api/projects/{project}/code")


@router.head("/{sha256}")
def has_code(project: str, sha256: str, context: ServerContext) -> Response:
    return Response(status_code=200 if code.has_code(context, project, sha256) else 404)


@router.put("/{sha256}")
async def put_code(project: str, sha256: str, request: Request, context: ServerContext) -> schemas.Json:
    await anyio.to_thread.run_sync(code.put_code, context, project, sha256, body_chunks(request))
    return {}
