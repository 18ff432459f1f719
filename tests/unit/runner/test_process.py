"""Jobs as processes of this machine."""

from __future__ import annotations

import os
import sys

import pytest

from tests.unit.runner.rig import Rig, alive, tar_of, until

# leaves its session, then its parent ends: only a subreaper still knows it
DAEMON = "setsid sleep 1000 & echo $! >"


def pid_in(runner: Rig, name: str) -> int:
    place = runner.folder / "work" / name
    until(lambda: place.exists() and place.read_text().strip(), name)
    return int(place.read_text())


@pytest.mark.parametrize(
    ("commands", "code", "log"),
    [
        (["echo a", "echo b"], 0, b"a\nb\n"),
        (["exit 3", "echo never"], 3, b""),
        (["false && true", "echo never"], 1, b""),
        (["cd /", "export A=1", "echo $PWD$A"], 0, b"/1\n"),
        (
            ["for i in 1 2; do\n  echo $i\ndone", "cat <<E\nhere\nE", "# only a comment", "echo end"],
            0,
            b"1\n2\nhere\nend\n",
        ),
        (["kill -9 $$"], 137, b""),
        (["printf '\\xff\\xfe no end'"], 0, b"\xff\xfe no end"),
        (["echo x >/dev/stderr", "echo y >/dev/stderr"], 0, b"x\ny\n"),
        (["cat"], 0, b""),
        ([], 0, b""),
    ],
)
def test_commands(runner: Rig, commands: list[str], code: int, log: bytes) -> None:
    state = runner.run(*commands)
    assert (state.exit_code, state.reason, runner.log()) == (code, "", log)
    assert state.log_size == len(log)


def test_a_line_of_ten_megabytes(runner: Rig) -> None:
    runner.run("head -c 10000000 /dev/zero | tr '\\0' x")
    assert runner.log() == b"x" * 10_000_000


def test_environment_is_the_jobs_own(rig: Rig) -> None:
    rig.env = {"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": "s", "HTTPS_PROXY": "http://p"}
    rig.start()
    rig.run("env", "echo cwd=$PWD", env={"TOKEN": "t"}, job_name="train")
    lines = rig.log().decode().splitlines()
    assert {"TOKEN=t", "HTTPS_PROXY=http://p", "RUN_NAME=shady-1", "DSTACK_JOB_NAME=train"} <= set(lines)
    assert f"HOME={rig.folder}/home" in lines
    assert f"cwd={rig.folder}/work" in lines
    assert not any("AWS" in line for line in lines)


def test_a_job_that_runs_alone_is_node_0_of_1(runner: Rig) -> None:
    runner.run(
        'env | grep -E "^(DSTACK_(NODE|GPUS|MASTER)|MASTER)" | LC_ALL=C sort',
        env={"MASTER_PORT": "7", "DSTACK_NODE_RANK": "9"},
        gpus=2,
    )
    assert runner.log().decode().splitlines() == [
        "DSTACK_GPUS_NUM=2", "DSTACK_GPUS_PER_NODE=2", "DSTACK_MASTER_NODE_IP=127.0.0.1", "DSTACK_NODES_IPS=127.0.0.1",
        "DSTACK_NODES_NUM=1", "DSTACK_NODE_RANK=0", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=7",
    ]  # fmt: skip


def test_a_node_of_several_knows_all_of_them(runner: Rig) -> None:
    runner.run(
        'echo "$DSTACK_NODE_RANK of $DSTACK_NODES_NUM: $MASTER_ADDR"',
        'echo "$DSTACK_NODES_IPS"',
        node=1,
        nodes=["10.0.0.4", "10.0.0.5"],
    )
    assert runner.log() == b"1 of 2: 10.0.0.4\n10.0.0.4\n10.0.0.5\n"


def test_secrets_are_not_written_to_the_disk(runner: Rig) -> None:
    runner.run("true", env={"TOKEN": "hush-hush"}, registry_auth={"username": "u", "password": "hush-hush"})
    files = [path for path in runner.folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"hush-hush" in path.read_bytes()]


def test_stop_lets_the_job_save_its_work(runner: Rig) -> None:
    inner = "trap 'sleep 1; mkdir out; echo saved > out/f; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    runner.submit(f'bash -c "{inner}"; true', "echo never", artifacts=["out"])
    runner.wait_log(b"ready")
    runner.link.stop()
    state = runner.wait("uploading")
    assert state.reason == "stopped"
    assert b"never" not in runner.log()
    assert runner.output()["out/f"].size == len("saved\n")


def test_what_ignores_sigterm_is_killed_after_the_grace(runner: Rig) -> None:
    runner.submit("trap '' TERM", "echo ready", "while :; do sleep 0.1; done", grace=0.5)
    runner.wait_log(b"ready")
    runner.link.stop()
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason) == (137, "stopped")


def test_abort_saves_nothing(runner: Rig) -> None:
    runner.submit("echo x > kept", "echo ready", "sleep 1000", artifacts=["kept"], caches=["~/c"])
    runner.wait_log(b"ready")
    runner.link.stop()
    runner.link.stop(abort=True)
    state = runner.wait("uploading")
    assert (state.reason, state.outputs) == ("aborted", ())


def test_an_abort_cuts_the_grace_of_a_stop_short(runner: Rig) -> None:
    runner.submit("trap '' TERM", "echo ready", "while :; do sleep 0.1; done", grace=3600)
    runner.wait_log(b"ready")
    runner.link.stop()
    runner.link.stop(abort=True)
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason) == (137, "aborted")


def test_abort_while_the_outputs_wait(runner: Rig) -> None:
    runner.run("echo x > kept", artifacts=["kept"])
    runner.link.stop(abort=True)
    state = runner.wait("uploading")
    assert (state.reason, state.exit_code, state.outputs) == ("aborted", 0, ())


def test_max_duration(runner: Rig) -> None:
    state = runner.run("echo kept > f", "sleep 1000", max_duration=1, artifacts=["f"])
    assert (state.exit_code, state.reason) == (143, "max_duration")
    assert state.outputs[0]["files"] == 1


@pytest.mark.parametrize("end", ["true", "exit 4", "kill -9 $$", "kill -9 0"])
def test_background_children_end_with_the_command(runner: Rig, end: str) -> None:
    runner.submit("sleep 1000 & echo $! > child", f"({DAEMON} daemon)", end)
    runner.wait("uploading")
    assert not alive(pid_in(runner, "child"))
    assert not alive(pid_in(runner, "daemon"))


def test_stop_finds_daemons_with_an_empty_environment(runner: Rig) -> None:
    runner.submit(f"(env -i {DAEMON} daemon)", "echo ready", "sleep 1000", grace=2)
    runner.wait_log(b"ready")
    runner.link.stop()
    assert runner.wait("uploading").reason == "stopped"
    assert not alive(pid_in(runner, "daemon"))


def test_terminated_runner_kills_its_job(runner: Rig) -> None:
    runner.submit(f"({DAEMON} daemon)", "echo ready", "sleep 1000")
    runner.wait_log(b"ready")
    assert runner.end() == 0
    assert not alive(pid_in(runner, "daemon"))


def test_python_of_this_version_comes_first(runner: Rig) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    show = "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix)"
    state = runner.run(f'python -c "{show}"', "command -v python3 pip", python=version)
    assert state.exit_code == 0
    place = f"{runner.folder}/python"
    assert runner.log().decode().splitlines() == [f"{version} {place}", f"{place}/bin/python3", f"{place}/bin/pip"]


def test_python_is_there_even_where_only_python3_is(rig: Rig, tmp_path) -> None:
    for name in ("bash", "sh", "cat", "mv"):
        (tmp_path / name).symlink_to(f"/bin/{name}")
    rig.env = {"PATH": str(tmp_path)}
    rig.start()
    assert rig.run("python -c 'print(6 * 7)'").exit_code == 0
    assert rig.log() == b"42\n"


def test_missing_python_says_what_was_looked_for(runner: Rig) -> None:
    state = runner.run("true", python="3.99")
    assert (state.exit_code, state.reason) == (None, "start")
    assert "python3.99" in state.message


def test_missing_working_dir(runner: Rig) -> None:
    state = runner.run("true", working_dir="nowhere")
    assert state.reason == "start"
    assert "nowhere" in state.message


def test_commands_that_are_too_long(runner: Rig) -> None:
    state = runner.run("echo " + "x" * 3_000_000)
    assert state.reason == "start"
    assert "script file" in state.message


def test_inputs_come_before_the_start(runner: Rig) -> None:
    runner.submit("./run.sh", "cat ~/.cache/c/a", inputs=["code", "cache-0"], caches=["~/.cache/c"])
    runner.link.put_input("code", [tar_of({"run.sh": b"#!/bin/sh\necho ran\n"})])
    assert runner.link.state().phase == "downloading"
    runner.link.put_input("cache-0", [tar_of({"a": b"kept"})])
    assert runner.wait("uploading").exit_code == 0
    assert runner.log() == b"ran\nkept"
