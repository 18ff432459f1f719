"""Jobs in containers of a real engine."""

from __future__ import annotations

import os
import socket

import pytest

from dstack_cloud.runner_bootstrap.payload.container import ATTEMPT_LABEL
from dstack_cloud.runner_bootstrap.payload.engine import Engine, default_socket
from dstack_cloud.runner_bootstrap.payload.ports import must_be_published
from tests.unit.runner.registry import registry
from tests.unit.runner.rig import Rig, tar_of

pytestmark = pytest.mark.docker


@pytest.fixture(autouse=True)
def nothing_left() -> object:
    yield
    left = Engine().containers({ATTEMPT_LABEL: "a-1"})
    for container in left:
        Engine().remove(container["Id"])
    assert not left, "a container outlived its runner's job"


def test_runs_commands_in_the_working_folder(runner: Rig, image: str) -> None:
    runner.submit(
        "cat data", "cd sub; ls", "echo $RUN_NAME $X", mode="docker", image=image, inputs=["code"], env={"X": "a b"}
    )
    runner.link.put_input("code", [tar_of({"data": b"raw\xff\n", "sub/one": b""})])
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason) == (0, "")
    assert runner.log() == b"raw\xff\none\nshady-1 a b\n"


def test_keeps_the_exit_code(runner: Rig, image: str) -> None:
    assert runner.run("exit 7", "echo never", mode="docker", image=image).exit_code == 7
    assert runner.log() == b""


def test_every_byte_of_the_output_is_kept(runner: Rig, image: str) -> None:
    runner.run("head -c 10000000 /dev/zero | tr '\\0' x", "echo e >&2", mode="docker", image=image)
    assert sorted(set(runner.log())) == sorted({*b"x", *b"e\n"})
    assert len(runner.log()) == 10_000_002


def test_output_and_errors_stay_in_order(runner: Rig, image: str) -> None:
    count = "i=0; while [ $i -lt 300 ]; do echo $i; echo $i >&2; i=$((i+1)); done; echo end >/dev/stderr"
    runner.run(count, mode="docker", image=image)
    assert runner.log().split() == [b"%d" % number for number in range(300) for _ in range(2)] + [b"end"]


def test_stop_lets_a_nested_program_save_its_work(runner: Rig, image: str) -> None:
    inner = "trap 'sleep 1; echo saved > out/f; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    runner.submit("mkdir out", f'bash -c "{inner}"; true', mode="docker", image=image, artifacts=["out"])
    runner.wait_log(b"ready")
    runner.link.stop()
    state = runner.wait("uploading")
    assert state.reason == "stopped"
    assert runner.output()["out/f"].size == len("saved\n")


def test_what_ignores_sigterm_is_killed_after_the_grace(runner: Rig, image: str) -> None:
    runner.submit("trap '' TERM", "echo ready", "while :; do sleep 0.1; done", mode="docker", image=image, grace=1)
    runner.wait_log(b"ready")
    runner.link.stop()
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason) == (137, "stopped")


def test_background_children_end_with_the_command(runner: Rig, image: str) -> None:
    state = runner.run("setsid sleep 1000 &", "sleep 1000 &", "echo done", mode="docker", image=image)
    assert state.exit_code == 0
    assert runner.log() == b"done\n"


def test_cache_in_the_home_folder_leaves_the_images_own_files(runner: Rig, image: str) -> None:
    fields = {"caches": ["~/.cache/pip"], "inputs": ["cache-0"], "artifacts": ["got"], "mode": "docker", "image": image}
    runner.submit("cat ~/.cache/pip/a > got", "echo more > ~/.cache/pip/b", "echo $HOME", **fields)
    runner.link.put_input("cache-0", [tar_of({"a": b"kept"})])
    state = runner.wait("uploading")
    assert state.exit_code == 0, runner.log()
    assert runner.output()["got"].size == 4
    assert set(runner.output("cache-0")) == {"a", "b"}
    assert state.outputs[1]["changed"] is True


def test_artifact_in_the_home_folder(runner: Rig, image: str) -> None:
    runner.run("echo x > ~/model", mode="docker", image=image, artifacts=["~/model"])
    assert runner.output()["~/model"].size == 2


def test_memory_limit(runner: Rig, image: str) -> None:
    hungry = "x=$(head -c 100000000 /dev/zero | tr '\\0' y); echo ${#x}"
    state = runner.run(hungry, mode="docker", image=image, memory_limit=2**25)
    assert (state.exit_code, state.reason) == (137, "out_of_memory")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a runner as another user")
def test_a_runner_that_is_not_root_gets_its_files_back(rig: Rig, image: str) -> None:
    nobody = 65534
    os.chown(rig.base, nobody, nobody)
    rig.python, rig.user = "/usr/bin/python3", nobody
    rig.groups = [default_socket().stat().st_gid]
    rig.start()
    write = "mkdir -m 700 out; echo x > out/f; echo y > ~/c/g; chmod 600 out/f"
    state = rig.run(write, mode="docker", image=image, artifacts=["out"], caches=["~/c"])
    assert (state.exit_code, state.warnings) == (0, ())
    assert rig.output()["out/f"].size == 2
    assert set(rig.output("cache-0")) == {"g"}
    assert {path.stat().st_uid for path in rig.folder.rglob("*")} == {nobody}


def test_missing_image(runner: Rig) -> None:
    state = runner.run("true", mode="docker", image="registry.invalid/nothing:1")
    assert (state.exit_code, state.reason) == (None, "image")
    assert "registry.invalid/nothing:1" in state.message


def test_stop_while_the_image_is_pulled(runner: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as never_answers:
        name = f"127.0.0.1:{never_answers.getsockname()[1]}/nothing:1"
        runner.submit("true", mode="docker", image=name, inputs=["code"])
        never_answers.accept()
        assert runner.link.state().message == f"pulling {name}"
        runner.link.stop()
        assert runner.wait("uploading").reason == "stopped"


def test_pull_with_a_password(runner: Rig) -> None:
    with registry("me", "hush") as address:
        name = f"{address}/team/thing:1"
        try:
            runner.run("true", mode="docker", image=name, registry_auth={"username": "me", "password": "hush"})
            assert Engine().image_exists(name)
        finally:
            Engine().remove_image(name)


def test_pull_with_the_wrong_password(runner: Rig) -> None:
    with registry("me", "hush") as address:
        auth = {"username": "me", "password": "guess"}
        state = runner.run("true", mode="docker", image=f"{address}/team/thing:1", registry_auth=auth)
    assert (state.exit_code, state.reason) == (None, "image")


def test_entrypoint_and_images_own_command(runner: Rig, image: str) -> None:
    runner.run("echo one", "echo two", mode="docker", image=image, entrypoint=["/bin/bash", "-c"])
    assert runner.log() == b"one\ntwo\n"


def test_program_that_cannot_start(runner: Rig, image: str) -> None:
    state = runner.run("x", mode="docker", image=image, entrypoint=["/bin/nothing"])
    assert state.exit_code == 127
    assert b"/bin/nothing" in runner.log()


def test_port_in_use(runner: Rig, image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = runner.run("true", mode="docker", image=image, ports=[{"app": 80, "local": port}])
    assert (state.exit_code, state.reason) == (None, "start")
    assert str(port) in state.message


def test_ca_bundle_reaches_the_container(runner: Rig, image: str) -> None:
    runner.run("cat $SSL_CERT_FILE $REQUESTS_CA_BUNDLE", mode="docker", image=image, ca_bundle="PEM\n")
    assert runner.log() == b"PEM\nPEM\n"


@pytest.mark.skipif(must_be_published(), reason="only root on Linux enters a container's network")
def test_root_leads_a_port_into_the_container_itself(runner: Rig, image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    runner.submit("echo ready; sleep 100", mode="docker", image=image, ports=[{"app": 80, "local": port}])
    runner.wait_log(b"ready")
    (found,) = Engine().containers({ATTEMPT_LABEL: "a-1"})
    shown = Engine().inspect(found["Id"]) or {}
    assert shown["HostConfig"]["PortBindings"] == {}
    with socket.create_connection(("127.0.0.1", port), timeout=30) as nothing_listens:
        assert nothing_listens.recv(1) == b""
    runner.link.stop(abort=True)
    assert runner.wait("uploading").reason == "aborted"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a runner as another user")
def test_port_is_published_on_this_machine_only(rig: Rig, image: str) -> None:
    nobody = 65534
    os.chown(rig.base, nobody, nobody)
    rig.python, rig.user, rig.groups = "/usr/bin/python3", nobody, [default_socket().stat().st_gid]
    rig.start()
    rig.submit("echo ready; sleep 100", mode="docker", image=image, ports=[{"app": 80, "local": 18573}])
    rig.wait_log(b"ready")
    (found,) = Engine().containers({ATTEMPT_LABEL: "a-1"})
    shown = Engine().inspect(found["Id"]) or {}
    assert shown["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18573"}]}
    with socket.create_connection(("127.0.0.1", 18573), timeout=30):
        pass  # the engine's proxy answers
    rig.link.stop(abort=True)
    assert rig.wait("uploading").reason == "aborted"


def test_terminated_runner_removes_its_container(runner: Rig, image: str) -> None:
    runner.submit("echo ready; sleep 1000", mode="docker", image=image)
    runner.wait_log(b"ready")
    assert runner.end() == 0
    assert not Engine().containers({ATTEMPT_LABEL: "a-1"})
