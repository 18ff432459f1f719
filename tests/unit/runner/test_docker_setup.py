"""Setups in containers of a real engine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from dstack_cloud.runner_bootstrap.link import RunnerState
from dstack_cloud.runner_bootstrap.payload import docker_setup
from dstack_cloud.runner_bootstrap.payload.engine import Engine
from tests.unit.runner.rig import Rig, pieces

pytestmark = pytest.mark.docker

# of this session alone: others may use the same engine
WORKFLOW = f"unit-test-of-setups-{os.getpid()}"
MAKE = [
    "echo building $X",
    "mkdir -p /opt/new; echo made > /opt/new/file; ln -s file /opt/new/link; chmod 4755 /opt/new/file",
    # removed, and made again with other contents
    "rm -rf /root /bin/yes; mkdir /root; echo mine > /root/mine",
    "touch left",
]
SHOW = ["ls /opt/new /root; stat -c %a /opt/new/file; test ! -e /bin/yes; test ! -e left; echo env:$X"]


def names() -> list[str]:
    found = Engine().images({docker_setup.WORKFLOW_LABEL: WORKFLOW})
    return [name for image in found for name in image["RepoTags"] or [image["Id"]]]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    for name in names():
        Engine().remove_image(name)


def submit(rig: Rig, image: str, **fields: object) -> None:
    given = {
        "attempt": WORKFLOW,
        "setup_salt": WORKFLOW,
        "setup": MAKE,
        "env": {"X": 'it\'s "x"\nand y'},
        "workflow": WORKFLOW,
        "image": image,
        **fields,
    }
    rig.submit(*SHOW, mode="docker", **given)


def offered(rig: Rig, data: bytes = b"") -> RunnerState:
    """The end of a job that was given this for its setup."""
    state = rig.link.state()
    while not state.setup:
        state = rig.link.state(state.seq, 5)
    assert state.setup["is"] == "wanted"
    rig.link.put_input("setup", pieces(data))
    return rig.wait("uploading")


def another(rig: Rig) -> None:
    rig.end()
    rig.folder = rig.base / "next"
    rig.start()


def test_another_job_of_the_machine_has_it(runner: Rig, image: str) -> None:
    submit(runner, image)
    assert offered(runner).exit_code == 0
    log = runner.log()
    assert b'building it\'s "x" and y' in log and b"file\nlink\n" in log and b"mine\n4755\n" in log
    [name] = names()
    kept = Engine().image(name)
    assert kept is not None and "and y" not in json.dumps(kept)
    another(runner)
    submit(runner, image)
    assert runner.wait("uploading").exit_code == 0
    assert (
        b"used again" in runner.log()
        and runner.log().splitlines()[1:] == log.splitlines()[-len(runner.log().splitlines()) + 1 :]
    )


def test_another_machine_has_it(runner: Rig, image: str) -> None:
    submit(runner, image)
    offered(runner)
    log, packed = runner.log(), b"".join(runner.link.output("setup"))
    for name in names():
        Engine().remove_image(name)
    another(runner)
    submit(runner, image)
    assert offered(runner, packed).exit_code == 0
    assert b"used again" in runner.log()
    shown = runner.log().split(b"\n", 1)[1]
    assert log.endswith(shown)


@pytest.mark.parametrize("data", [b"x", b"x" * 2000])
def test_what_comes_damaged_is_built(runner: Rig, image: str, data: bytes) -> None:
    submit(runner, image)
    state = offered(runner, data)
    assert (state.exit_code, b"building" in runner.log()) == (0, True)
    assert any("setup" in warning for warning in state.warnings)


def test_rebuild_asks_for_nothing_and_replaces(runner: Rig, image: str) -> None:
    submit(runner, image)
    offered(runner)
    [before] = names()
    first = (Engine().image(before) or {})["Id"]
    another(runner)
    submit(runner, image, rebuild=True)
    assert runner.wait("uploading").exit_code == 0
    assert names() == [before] and (Engine().image(before) or {})["Id"] != first


def test_one_that_fails_leaves_nothing(runner: Rig, image: str) -> None:
    submit(runner, image, setup=["exit 4"])
    state = offered(runner)
    assert (state.exit_code, state.message) == (4, "a command of `setup` failed")
    assert names() == []


def test_what_nothing_uses_any_more_goes(runner: Rig, image: str) -> None:
    submit(runner, image)
    offered(runner)
    [name] = names()
    assert time.time() - docker_setup.used_at(Engine(), name) < 60
    docker_setup.sweep(Engine(), WORKFLOW, unused=-1)
    assert names() == []


def test_what_is_in_caches_is_not_its_own(runner: Rig, image: str) -> None:
    """What it writes at their paths is kept, for jobs without them."""
    commands = ["mkdir ~/tool; touch ~/tool/x; test $PIP_NO_CACHE_DIR = 1"]
    given = {"setup": commands, "env": {}, "setup_salt": WORKFLOW}
    submit(runner, image, caches=["~/tool", "~/.cache/pip"], **given)
    assert [output["files"] for output in offered(runner).outputs] == [0, 0]
    assert b"built in" in runner.log()
    another(runner)
    runner.submit("ls ~/tool/x", mode="docker", image=image, workflow=WORKFLOW, **given)
    assert (runner.wait("uploading").exit_code, b"used again" in runner.log()) == (0, True)
