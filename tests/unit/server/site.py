"""The application as it is served: on a real Unix socket, over a real database, its jobs placed by nobody."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import uvicorn

from dstack_cloud.db import open_database
from dstack_cloud.domain.configuration import ProjectSettings
from dstack_cloud.orchestrator.world import World
from dstack_cloud.server.app import make_app
from dstack_cloud.services.configuration_file import ConfigurationFile
from dstack_cloud.services.context import Context
from dstack_cloud.services.sealing import load_sealer
from tests.fakes.failing_store import FailingStore
from tests.fakes.simulation import Chance, SimBackend, SimRunners

WORKFLOWS = """workflows:
  - name: train
    provider: bash
    commands: ["echo hello"]
"""
SECONDS = 60.0
HEADERS = {"connection": "close", "content-type": "application/json"}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("dstack", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Site:
    def __init__(self, home: Path) -> None:
        self.backend = backend = SimBackend(Chance(random.Random(1)))
        self.store = FailingStore()
        self.database = open_database(f"sqlite:///{home / 's.db'}")
        sealer = load_sealer(home / "secret.key")
        world = World(
            clock=time.time,
            database=self.database,
            stores={"main": self.store, "other": self.store},
            backends={"main": {"sim": backend}, "other": {"sim": backend}},
            links=SimRunners(backend.chance, backend),  # type: ignore[arg-type]  # its link is the simulated one
            unsealer=sealer,
            installation="s",
        )
        settings = ProjectSettings(backends=("sim",))
        self.context = Context(
            world, sealer, ConfigurationFile(home / "config.yaml"), {"main": settings, "other": settings}
        )
        self.app = make_app(self.context, home)
        self.socket = home / "s.sock"
        config = uvicorn.Config(self.app, uds=str(self.socket), log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_until(lambda: self._server.started, "the server")

    def connect(self) -> UnixConnection:
        return UnixConnection(self.socket)

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        connection = self.connect()
        streamed = body is not None and not isinstance(body, (dict, bytes))
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        try:
            connection.request(method, path, data, HEADERS, encode_chunked=streamed)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it stopped reading
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.headers), response.read())
        connection.close()
        return answer

    def submit(self, project: str = "main", **changes: Any) -> dict[str, Any]:
        request = {
            "files": [{"path": ".dstack/workflows.yaml", "text": WORKFLOWS}], "workflow": "train", "args": [],
            "variables": {}, "env": {}, "tag": "", "overrides": {}, "code": None, "local_python": "3.11", **changes,
        }  # fmt: skip
        answer = self.ask("POST", f"/api/projects/{project}/runs", request)
        assert answer.status == 200, answer.body
        view: dict[str, Any] = answer.json()
        return view

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(SECONDS)
        self.database.close()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


def chunked(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """A body of unknown length, as the client sends a snapshot."""
    yield from pieces
