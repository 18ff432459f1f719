"""The runner under every Python from 3.10 on that can be found here."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload.interpreter import find_interpreter
from tests.fakes import metadata
from tests.unit.runner.rig import Rig, tar_of

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
FOUND = [str(found) for version in VERSIONS if (found := find_interpreter(version))]
SAVES = "trap 'echo saved > out/f; exit 0' TERM; echo ready; cat out/a; while :; do sleep 0.05; done"


@pytest.mark.parametrize(
    "python", sorted({*FOUND, *(str(path) for path in [Path("/usr/bin/python3")] if path.exists())})
)
def test_a_restored_job_is_interrupted(rig: Rig, python: str) -> None:
    rig.python = python
    with metadata.serving() as cloud:
        rig.start("--metadata", cloud.address)
        rig.submit(SAVES, inputs=["code", "artifacts"], artifacts=["out"], notice="aws")
        rig.link.put_input("code", [tar_of({"out/a": b"old"})])
        rig.link.put_input("artifacts", [tar_of({"out/a": b"new"})])
        rig.wait_log(b"new")
        cloud.interrupt()
        state = rig.wait("uploading")
    assert (state.reason, state.exit_code) == ("interrupted", 0)
    assert set(rig.output()) == {"out", "out/a", "out/f"}


@pytest.mark.docker
@pytest.mark.parametrize("python", FOUND)
def test_an_adopted_container(rig: Rig, image: str, python: str) -> None:
    rig.python = python
    rig.start()
    rig.submit("echo ready; until [ -e go ]; do sleep 0.05; done; echo done", mode="docker", image=image)
    rig.wait_log(b"ready")
    rig.crash()
    rig.start()
    (rig.folder / "work" / "go").touch()
    assert rig.wait("uploading").exit_code == 0
    assert rig.log() == b"ready\ndone\n"
