"""Commands called in this process, against a real HTTP server that says what a test wants it to say."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dstack_cloud.cli.main import run
from tests.fakes.unix_http import Reply, Request, reply_json, serving
from tests.unit.cli import views

BASE = "/api/projects/-"


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Backstage:
    """`answers` by "METHOD path" below the project, or the full path; `requests` is what was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, Any] = {"POST /workflow": views.workflow(), "GET /runs/shady-1.train/access": []}
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        name = f"{request.method} {request.path.removeprefix(BASE)}"
        if name not in self.answers:
            return reply_json({"code": "NotFound", "summary": f"nothing at {name}", "hint": None}, 404)
        answer = self.answers[name]
        return answer if isinstance(answer, Reply) else reply_json(answer)

    def bodies(self, name: str) -> list[Any]:
        asked = [r for r in self.requests if f"{r.method} {r.path.removeprefix(BASE)}" == name]
        return [json.loads(request.body) for request in asked]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with one workflow file."""
    place = tmp_path / "project"
    (place / ".dstack").mkdir(parents=True)
    (place / ".dstack" / "workflows.yaml").write_text("workflows: []\n")
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "80")
    return place


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backstage]:
    monkeypatch.setenv("DSTACK_HOME", str(tmp_path / "home"))
    stage = Backstage(folder)
    stage.answers["GET /api/server"] = {
        "version": "1", "pid": 7, "started_at": time.time() - 3700, "active_jobs": 2, "home": "HOME",
    }  # fmt: skip
    with serving(tmp_path / "home", stage):
        yield stage


@pytest.fixture
def dstack(folder: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Result]:
    def call(*args: str) -> Result:
        code = run(args)
        out, err = capsysbinary.readouterr()
        return Result(code, out.decode(errors="backslashreplace"), err.decode(errors="backslashreplace"))

    return call
