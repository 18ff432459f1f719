"""The courier's program as a machine runs it: alone, with the wheels beside it and nothing else that isn't Python's own."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.courier.bundle import bundle
from dstack_cloud.courier.errand import Errand
from dstack_cloud.courier.wheels import Wheels
from dstack_cloud.storage import artifacts
from dstack_cloud.storage.logs import LogReader
from dstack_cloud.storage.store import open_store
from tests.unit.runner.rig import PATIENCE, Rig

ERRAND = Errand("a-1", "shady-1", "train", 1, "train")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path).start()
    yield made
    if made.process is not None:
        made.end()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    version = ".".join(platform.python_version_tuple()[:2])
    zipfile.ZipFile(io.BytesIO(Wheels(folder / "none").library(version, platform.machine()))).extractall(folder)
    return folder


def place(rig: Rig, url: str) -> list[str]:
    """The arguments, with their files made."""
    (rig.base / "courier.pyz").write_bytes(bundle())
    for name in ("courier", "private"):
        (rig.base / name).mkdir()
    (rig.base / "courier" / "errand.json").write_bytes(ERRAND.to_json())
    (rig.base / "courier" / "store.json").write_text(json.dumps({"url": url, "options": {}, "lent": False}))
    return [str(rig.base / name) for name in ("courier", "private")] + [str(rig.socket)]


def test_it_carries_and_lets_the_runner_go(rig: Rig, library: Path) -> None:
    url = (rig.base / "store").as_uri()
    arguments = place(rig, url)
    rig.submit("echo hello", "mkdir out", "echo 1 > out/a", artifacts=["out"])
    command = [sys.executable, "-I", "-S", str(rig.base / "courier.pyz"), str(library), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert rig.process is not None
    assert rig.process.wait(PATIENCE) == 0
    store = open_store(url)
    assert json.loads(store.get(ERRAND.place.status))["phase"] == "finished"
    assert b"".join(LogReader(store, ERRAND.place).read()) == b"hello\n"
    assert artifacts.load_manifest(store, ERRAND.job_place) is not None
    assert (rig.base / "courier" / "verdict").read_text() == "ready"


def test_one_that_was_killed_goes_on_where_the_store_ends(rig: Rig, library: Path) -> None:
    url = (rig.base / "store").as_uri()
    command = [sys.executable, "-I", "-S", str(rig.base / "courier.pyz"), str(library), *place(rig, url)]
    rig.submit("echo one", "while [ ! -e go ]; do sleep 0.05; done", "echo two")
    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    rig.wait_log(b"one")
    first.kill()
    first.wait()
    next(rig.folder.rglob("work*")).joinpath("go").touch()
    rig.wait("uploading")
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode == 0
    assert b"".join(LogReader(open_store(url), ERRAND.place).read()) == b"one\ntwo\n"


def test_one_killed_between_its_last_word_and_the_runners_end_still_ends_it(rig: Rig, library: Path) -> None:
    url = (rig.base / "store").as_uri()
    command = [sys.executable, "-I", "-S", str(rig.base / "courier.pyz"), str(library), *place(rig, url)]
    rig.submit("true")
    rig.wait("uploading")
    open_store(url).put(ERRAND.place.status, b'{"attempt": "a-1", "phase": "finished"}')
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode == 0
    assert rig.process is not None
    assert rig.process.wait(PATIENCE) == 0


def test_where_the_store_cannot_be_used_it_says_why_and_leaves(rig: Rig, library: Path) -> None:
    target = rig.base / "store"
    arguments = place(rig, target.as_uri())
    target.mkdir()
    # a file where folders are needed
    (target / "runs").write_text("")
    rig.submit("true")
    command = [sys.executable, "-I", "-S", str(rig.base / "courier.pyz"), str(library), *arguments]
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode == 0
    assert "store" in (rig.base / "courier" / "verdict").read_text()
    assert rig.wait("uploading").exit_code == 0
    # the store is mended, but somebody else carries by now
    (target / "runs").unlink()
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode == 0
    assert rig.wait("uploading").exit_code == 0


def test_nothing_of_the_server_is_in_it() -> None:
    names = zipfile.ZipFile(io.BytesIO(bundle())).namelist()
    assert not [name for name in names if "wheels" in name or "shipping" in name or "orchestrator" in name]
    assert len(bundle()) < 120_000
