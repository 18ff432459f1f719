"""logs, artifacts, validate."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.fakes.unix_http import Reply
from tests.unit.cli.conftest import Backstage, Result

Call = Callable[..., Result]


def test_logs_are_bytes(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs/shady-1/logs"] = Reply(chunks=[b"a\xff", b"no newline"])
    assert dstack("logs", "shady-1") == (0, "a\\xffno newline", "")
    assert dstack("logs", "shady-1", "-f", "--attempt", "2", "-s", "1970-01-01T00:00:05Z").code == 0
    assert [request.query for request in server.requests] == [{}, {"follow": "1", "since": "5.0", "attempt": "2"}]


def test_logs_of_a_run_that_is_not_there(server: Backstage, dstack: Call) -> None:
    code, out, err = dstack("logs", "nope-1")
    assert (code, out) == (2, "")
    assert err.startswith("error: nothing at GET /runs/nope-1/logs\n")


def artifact(path: str, size: int, kind: str = "file", job: str = "train") -> dict[str, object]:
    return {"job": job, "path": path, "size": size, "kind": kind, "sha256": ""}


def test_artifacts(server: Backstage, dstack: Call) -> None:
    listed = [artifact("model", 0, "dir"), artifact("model/a.bin", 2048), artifact("models.txt", 5)]
    server.answers["GET /runs/shady-1/artifacts"] = listed
    assert dstack("artifacts", "shady-1").out == "model/\nmodel/a.bin\nmodels.txt\n"
    assert dstack("artifacts", "ls", "shady-1", "model/").out == "model/\nmodel/a.bin\n"
    assert dstack("artifacts", "shady-1", "-t").out.splitlines() == [
        "       0 B  model/",
        "   2.0 KiB  model/a.bin",
        "       5 B  models.txt",
        "   2.0 KiB  in 2 files",
    ]
    assert json.loads(dstack("artifacts", "shady-1", "--json").out) == listed


def test_artifacts_of_several_jobs(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs/shady-1/artifacts"] = [artifact("a", 1), artifact("a", 1, job="test")]
    assert dstack("artifacts", "shady-1").out == "train:a\ntest:a\n"


def test_no_artifacts(server: Backstage, dstack: Call) -> None:
    server.answers["GET /runs/shady-1/artifacts"] = []
    assert dstack("artifacts", "shady-1").err.startswith("error: shady-1 has no artifacts\nhint: ")


def archive() -> Reply:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("model/a.bin")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    return Reply(chunks=[packed.getvalue()])


def test_downloads(server: Backstage, dstack: Call, folder: Path) -> None:
    for words in (["shady-1", "--output", "x"], ["cp", "shady-1", "model/", "x"], ["download", "shady-1", "x"]):
        server.answers["GET /runs/shady-1/artifacts/archive"] = archive()
        assert dstack("artifacts", *words) == (0, "1 file, 3 B, in x\n", "")
        assert (folder / "x" / "model" / "a.bin").read_bytes() == b"abc"
    assert [request.query for request in server.requests] == [{}, {"path": "model"}, {}]


def test_validate(server: Backstage, dstack: Call, folder: Path) -> None:
    workflow = {"name": "train", "help": "", "provider": "bash", "file": "f", "line": 1}
    server.answers["POST /check"] = {"workflows": [workflow], "problems": [], "warnings": []}
    assert dstack("validate") == (0, "no problems; workflows: train\n", "")
    assert dstack("validate", ".dstack").code == 0
    problem = {"file": "f.yaml", "line": 3, "column": 7, "where": "x", "text": "wrong", "hint": "write it so"}
    server.answers["POST /check"] = {
        "workflows": [],
        "problems": [problem, {**problem, "line": 0, "hint": None}],
        "warnings": [],
    }
    assert dstack("validate") == (2, "f.yaml:3:7: wrong (write it so)\nf.yaml: wrong\n", "")
    assert dstack("validate", "--json").code == 2
    assert dstack("validate", str(folder / "nowhere")).code == 2
