from __future__ import annotations

import queue
from collections.abc import Iterator

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.server.routers.context import ServerContext
from dstack_cloud.services import code

router = APIRouter(prefix="/api/projects/{project}/code")

# bounds the memory of an upload: this many chunks wait for the store
QUEUED = 16


class _Upload:
    """The request's body as an iterator for the thread that writes it: async on one side, blocking on the other."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes | ClientDisconnect | None] = queue.Queue(QUEUED)

    async def feed(self, request: Request) -> None:
        try:
            async for chunk in request.stream():
                await anyio.to_thread.run_sync(self._chunks.put, chunk)
        except ClientDisconnect as error:
            await anyio.to_thread.run_sync(self._chunks.put, error)
            return
        await anyio.to_thread.run_sync(self._chunks.put, None)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            chunk = self._chunks.get()
            if chunk is None:
                return
            if isinstance(chunk, ClientDisconnect):
                raise errors.UsageError("the upload broke off", "run the command again") from chunk
            if chunk:
                yield chunk


@router.head("/{sha256}")
def has_code(project: str, sha256: str, context: ServerContext) -> Response:
    return Response(status_code=200 if code.has_code(context, project, sha256) else 404)


@router.put("/{sha256}")
async def put_code(project: str, sha256: str, request: Request, context: ServerContext) -> schemas.Json:
    upload = _Upload()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload.feed, request)
        await anyio.to_thread.run_sync(code.put_code, context, project, sha256, upload)
    return {}
