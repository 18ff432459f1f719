from __future__ import annotations

from collections.abc import Iterator

import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import code

router = APIRouter(prefix="/api/projects/{project}/code")


def _chunks(request: Request) -> Iterator[bytes]:
    """The request's body for the thread that writes it: each chunk is fetched from the event loop when it is wanted."""
    stream = request.stream()

    async def following() -> bytes | None:
        return await anext(stream, None)

    try:
        while (chunk := anyio.from_thread.run(following)) is not None:
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise errors.UsageError("the upload broke off", "run the command again") from error


@router.head("/{sha256}")
def has_code(project: str, sha256: str, context: ServerContext) -> Response:
    return Response(status_code=200 if code.has_code(context, project, sha256) else 404)


@router.put("/{sha256}")
async def put_code(project: str, sha256: str, request: Request, context: ServerContext) -> schemas.Json:
    await anyio.to_thread.run_sync(code.put_code, context, project, sha256, _chunks(request))
    return {}
