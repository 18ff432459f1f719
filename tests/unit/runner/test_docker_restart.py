"""A container outlives its runner, and the next one takes it over."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import machine
from dstack_cloud.runner_bootstrap.payload.container import ATTEMPT_LABEL
from dstack_cloud.runner_bootstrap.payload.engine import Engine, Json
from dstack_cloud.runner_bootstrap.payload.ports import must_be_published
from tests.unit.runner.rig import Rig, alive, until

pytestmark = pytest.mark.docker
WAITS = "until [ -e go ]; do sleep 0.05; done"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    left = Engine().containers({ATTEMPT_LABEL: "a-1"})
    for container in left:
        Engine().remove(container["Id"])
    assert not left, "a container outlived its runner's job"


def container() -> Json:
    (found,) = Engine().containers({ATTEMPT_LABEL: "a-1"})
    shown = Engine().inspect(found["Id"])
    assert shown is not None
    return shown


def go(rig: Rig) -> None:
    (rig.folder / "work" / "go").touch()


def pump_of(rig: Rig) -> int:
    """The process that reads the container's output; 0: none."""
    named = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if b"dstack-output" in path.read_bytes()]
    log = str(rig.folder / "log")
    return next((int(path.name) for path in named if os.readlink(path / "fd" / "1") == log), 0)


def test_a_running_container_is_adopted_with_every_byte(rig: Rig, image: str) -> None:
    rig.start()
    count = "i=0; while [ $i -lt 20000 ]; do echo line $i; echo error $i >&2; i=$((i+1)); done"
    rig.submit(f"echo ready; {count}; {WAITS}; printf 'no end \\377'; exit 5", mode="docker", image=image)
    rig.wait_log(b"ready")
    rig.crash()
    rig.start()
    assert rig.link.state().phase == "running"
    rig.wait_log(b"error 19999")
    go(rig)
    state = rig.wait("uploading")
    assert (state.exit_code, state.reason, state.warnings) == (5, "", ())
    lines = rig.log().split(b"\n")
    assert lines[-1] == b"no end \xff"
    assert [line for line in lines if line.startswith(b"line")] == [b"line %d" % number for number in range(20000)]
    assert len(lines) == 40_002


def test_what_it_says_while_no_runner_looks_is_in_the_log(rig: Rig, image: str) -> None:
    rig.start()
    rig.submit(f"echo ready; {WAITS}; echo alone; touch done", mode="docker", image=image, artifacts=["done"])
    rig.wait_log(b"ready")
    rig.crash()
    go(rig)
    until(lambda: not container()["State"]["Running"], "the container's end")
    rig.start()
    state = rig.wait("uploading")
    assert (state.exit_code, state.reason, rig.log()) == (0, "", b"ready\nalone\n")
    assert set(rig.output()) == {"done"}


def test_after_a_power_cut_the_job_counts_as_interrupted_and_what_it_saved_is_collected(rig: Rig, image: str) -> None:
    rig.start()
    rig.submit("echo half > out; echo ready; sleep 600", mode="docker", image=image, artifacts=["out"])
    rig.wait_log(b"ready")
    rig.crash()
    state = rig.folder / "state.json"
    state.write_text(state.read_text().replace(machine.boot(), "an-earlier-boot"))
    rig.start()
    last = rig.wait("uploading")
    assert (last.exit_code, last.reason, last.message) == (
        None,
        "interrupted",
        "the machine was restarted while the job ran",
    )
    assert set(rig.output()) == {"out"}


def test_an_adopted_container_can_be_stopped(rig: Rig, image: str) -> None:
    rig.start()
    inner = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    rig.submit(inner, mode="docker", image=image)
    rig.wait_log(b"ready")
    rig.crash()
    rig.start()
    rig.link.stop()
    assert rig.wait("uploading").reason == "stopped"
    assert rig.log().endswith(b"saved\n")


def test_a_gap_in_the_log_is_told_of(rig: Rig, image: str) -> None:
    rig.start()
    rig.submit(f"echo ready; {WAITS}; echo on", mode="docker", image=image)
    rig.wait_log(b"ready")
    pump = pump_of(rig)
    rig.crash()
    os.kill(pump, signal.SIGKILL)
    until(lambda: not alive(pump), "its end")
    rig.start()
    until(lambda: pump_of(rig), "another reader")
    go(rig)
    state = rig.wait("uploading")
    assert (state.exit_code, rig.log()) == (0, b"ready\non\n")
    assert "missing" in state.warnings[0]


def test_a_container_that_somebody_removed(rig: Rig, image: str) -> None:
    rig.start()
    rig.submit("echo ready; sleep 1000", mode="docker", image=image)
    rig.wait_log(b"ready")
    rig.crash()
    Engine().remove(container()["Id"])
    rig.start()
    state = rig.wait("uploading")
    assert (state.exit_code, state.reason) == (None, "runner")
    assert "removed" in state.message


@pytest.mark.skipif(must_be_published(), reason="only root on Linux enters a container's network")
def test_its_ports_are_led_again(rig: Rig, image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    rig.start()
    rig.submit("echo ready; sleep 1000", mode="docker", image=image, ports=[{"app": 80, "local": port}])
    rig.wait_log(b"ready")
    rig.crash()
    rig.start()
    until(lambda: opens(port), "the port")
    rig.link.stop(abort=True)
    assert rig.wait("uploading").reason == "aborted"


def opens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except ConnectionRefusedError:
        return False
    return True


def test_secrets_stay_masked_when_another_runner_reads_on(rig: Rig, image: str) -> None:
    rig.start()
    given = {"TOKEN": "s3cret-value"}
    rig.submit("echo one $TOKEN", WAITS, "echo two $TOKEN", mode="docker", image=image, env=given, secrets=given)
    rig.wait_log(b"one ***\n")
    rig.crash()
    os.kill(pump := pump_of(rig), signal.SIGKILL)
    until(lambda: not alive(pump), "the end of what reads the output")
    rig.start()
    go(rig)
    rig.wait("uploading")
    assert rig.log() == b"one ***\ntwo ***\n"
    assert b"s3cret" not in rig.folder.joinpath("state.json").read_bytes()
