"""The part of the client that is about config.yaml. What it changes holds once the server was started again: see `reload`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from dstack_cloud.api.configuration import (
        ConfigurationView,
        LoginView,
        PermissionsView,
        PreparedView,
        ProjectRequest,
        WrittenView,
    )
    from dstack_cloud.api.schemas import ServerView
    from dstack_cloud.client.transport import Transport


class ConfigurationClient:
    def __init__(self, transport: Transport, base: str) -> None:
        self._transport, self._base = transport, base

    def view(self) -> ConfigurationView:
        return cast("ConfigurationView", self._transport.call("GET", "/api/configuration"))

    def logins(self, environment: Mapping[str, str]) -> dict[str, list[LoginView]]:
        """By cloud, the credentials on this computer. `environment`: of the shell, what the clouds read, no secret."""
        body = {"environment": dict(environment)}
        return cast("dict[str, list[LoginView]]", self._transport.call("POST", f"{self._base}/logins", body))

    def configure(self, request: ProjectRequest) -> WrittenView:
        return cast("WrittenView", self._transport.call("PUT", f"{self._base}/configuration", request))

    def choose_default(self, project: str) -> WrittenView:
        answer = self._transport.call("PUT", "/api/configuration/default", query={"project": project})
        return cast("WrittenView", answer)

    def delete_project(self) -> WrittenView:
        return cast("WrittenView", self._transport.call("DELETE", f"{self._base}/configuration"))

    def delete_backend(self, name: str) -> WrittenView:
        return cast("WrittenView", self._transport.call("DELETE", f"{self._base}/backends/{quote(name, safe='')}"))

    def permissions(self, backend: str) -> PermissionsView:
        place = f"{self._base}/backends/{quote(backend, safe='')}/permissions"
        return cast("PermissionsView", self._transport.call("GET", place))

    def prepare(self, backend: str) -> str:
        """Makes what its machines need once, in its cloud; says what, "" where nothing was to be made."""
        place = f"{self._base}/backends/{quote(backend, safe='')}/prepare"
        return cast("PreparedView", self._transport.call("POST", place))["text"]

    def reload(self) -> None:
        """Starts the server again: jobs go on meanwhile, and whoever follows one notices nothing. Raises ConfigurationError where it
        can't work with the file."""
        from dstack_cloud.client.autostart import start, stop

        stop(self._transport.home)
        start(self._transport.home)

    def reload_if_changed(self) -> bool:
        """Whether the file was changed since the server read it."""
        path = self._transport.home / "config.yaml"
        if not self._transport.is_up():
            return False
        started = cast("ServerView", self._transport.call("GET", "/api/server"))["started_at"]
        try:
            changed = path.stat().st_mtime > started
        except OSError:
            changed = False
        if changed:
            self.reload()
        return changed
