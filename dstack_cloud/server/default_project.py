"""Which project a command means that names none: only the server has read the configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dstack_cloud.api.configuration import DEFAULT_PROJECT

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MEANT = f"/api/projects/{DEFAULT_PROJECT}/"


class DefaultProject:
    """Puts its name into the paths that leave it out."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], name: str) -> None:
        self._app, self._place = app, f"/api/projects/{name}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(MEANT):
            path = self._place + scope["path"].removeprefix(MEANT)
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)
