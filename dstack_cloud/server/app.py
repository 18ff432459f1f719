"""The HTTP application. Routers call services; every DstackError becomes an ErrorView."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.server.default_project import DefaultProject
from dstack_cloud.server.routers import artifacts, code, configuration, faults, machines, remotes, runs, secrets, server
from dstack_cloud.server.routers.text import check_text
from dstack_cloud.services.context import Context
from dstack_cloud.services.workflows import WorkflowProblems
from dstack_cloud.version import __version__

log = logging.getLogger(__name__)

# streams of attached terminals each hold a worker thread while they wait
STREAM_THREADS = 256

_STATUS: tuple[tuple[type[errors.DstackError], int], ...] = (
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.InvalidConfiguration, 400),
    (errors.UsageError, 400),
    (errors.BackendError, 502),
    (errors.RunnerError, 502),
    (errors.SshError, 502),
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Presence:
    """Counts requests, so that the server knows when nobody needs it, and names the version in every answer."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], state: Any) -> None:  # noqa: ANN401 - starlette's State has any attribute
        self._app = app
        self._state = state
        self._threads_set = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._threads_set:
            anyio.to_thread.current_default_thread_limiter().total_tokens = STREAM_THREADS
            self._threads_set = True

        async def send_with_version(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (schemas.VERSION_HEADER.encode(), __version__.encode()),
                ]
            await send(message)

        self._state.requests += 1
        try:
            await self._app(scope, receive, send_with_version)
        finally:
            self._state.requests -= 1
            self._state.asked_at = time.monotonic()


def make_app(context: Context, home: Path) -> FastAPI:
    app = FastAPI(title="dstack", version=__version__, docs_url=None, redoc_url=None)
    app.state.context = context
    app.state.home = home
    app.state.started_at = time.time()
    app.state.pid = os.getpid()
    app.state.requests = 0
    app.state.asked_at = time.monotonic()
    for part in (server, runs, code, artifacts, machines, faults, secrets, remotes, configuration):
        app.include_router(part.router, dependencies=[Depends(check_text)])
    app.add_middleware(DefaultProject, name=context.default_project)
    app.add_middleware(Presence, state=app.state)
    app.add_exception_handler(errors.DstackError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_unknown)
    app.add_exception_handler(Exception, _on_bug)
    return app


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, errors.DstackError):
        raise error
    status = next((status for cls, status in _STATUS if isinstance(error, cls)), 500)
    body: schemas.ErrorView = {"code": error.code, "summary": error.summary, "hint": error.hint}
    if isinstance(error, WorkflowProblems):
        body["problems"] = error.problems
    return JSONResponse(body, status)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    text = str(error) if not isinstance(error, RequestValidationError) else _first(error)
    return JSONResponse(
        {"code": "UsageError", "summary": f"a request this server can't read: {text}", "hint": None}, 400
    )


async def _on_unknown(request: Request, error: Exception) -> JSONResponse:
    """No such path or method: a client of another version asks."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    body: schemas.ErrorView = {
        "code": "ServerError",
        "summary": f"this server doesn't know {request.method} {request.url.path}",
        "hint": "use the same version of dstack for the command and the server",
    }
    return JSONResponse(body, status)


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    """The error goes on to the log, with its traceback."""
    body: schemas.ErrorView = {
        "code": "ServerError",
        "summary": f"the server failed: {type(error).__name__}",
        "hint": f"its log is {request.app.state.home / 'server.log'}",
    }
    # this answer is made outside of what adds the version to the others
    return JSONResponse(body, 500, {schemas.VERSION_HEADER: __version__})


def _first(error: RequestValidationError) -> str:
    item = error.errors()[0]
    return f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
