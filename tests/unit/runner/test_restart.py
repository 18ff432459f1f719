"""The runner itself dies, or there are two of it."""

from __future__ import annotations

import os
import shutil
import signal
import sys

from tests.unit.runner.rig import PATIENCE, Rig, alive, until
from tests.unit.runner.test_process import DAEMON, pid_in


def test_a_running_job_is_adopted(rig: Rig) -> None:
    rig.start()
    rig.submit(
        "echo one", "until [ -e go ]; do sleep 0.05; done", "echo two > out", "cat out", "exit 5", artifacts=["out"]
    )
    rig.wait_log(b"one")
    seen = rig.link.state().seq
    rig.crash()
    rig.start()
    assert rig.link.state().phase == "running"
    (rig.folder / "work" / "go").touch()
    state = rig.wait("uploading")
    assert (state.exit_code, state.reason, rig.log()) == (5, "", b"one\ntwo\n")
    assert state.seq > seen
    assert rig.output()["out"].size == 4


def test_a_job_that_ended_meanwhile_keeps_its_exit_code(rig: Rig) -> None:
    rig.start()
    rig.submit("echo ready", "until [ -e go ]; do sleep 0.05; done", "exit 6")
    rig.wait_log(b"ready")
    rig.crash()
    (rig.folder / "work" / "go").touch()
    until((rig.folder / "exit_code").exists, "the job's end")
    rig.start()
    state = rig.wait("uploading")
    assert (state.exit_code, state.reason) == (6, "")


def test_an_adopted_job_can_be_stopped_with_its_daemons(rig: Rig) -> None:
    rig.start()
    rig.submit(f"({DAEMON} daemon)", "echo ready", "sleep 1000")
    rig.wait_log(b"ready")
    rig.crash()
    rig.start()
    rig.link.stop()
    assert rig.wait("uploading").reason == "stopped"
    assert not alive(pid_in(rig, "daemon"))


def test_a_job_that_died_with_its_runner_is_said_to_be_lost(rig: Rig) -> None:
    rig.start()
    rig.submit("echo $$ > pid", "echo ready", "kill -STOP $$")
    rig.wait_log(b"ready")
    rig.crash()
    group = os.getpgid(pid_in(rig, "pid"))
    os.killpg(group, signal.SIGKILL)
    until(lambda: not alive(group), "the group's end")
    rig.start()
    state = rig.wait("uploading")
    assert (state.exit_code, state.reason) == (None, "runner")


def test_a_restart_before_the_start_ends_the_attempt(rig: Rig) -> None:
    rig.start()
    rig.submit("true", inputs=["code"])
    rig.crash()
    rig.start()
    assert rig.wait("uploading").reason == "runner"


def test_outputs_wait_through_a_restart(rig: Rig) -> None:
    rig.start()
    rig.run("echo x > out", artifacts=["out"])
    rig.crash()
    rig.start()
    assert rig.output()["out"].size == 2
    rig.link.collected()
    assert rig.process and rig.process.wait(PATIENCE) == 0


def test_two_runners_in_one_folder(runner: Rig) -> None:
    second = runner.spawn()
    _, errors = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0
    assert b"another runner" in errors
    assert runner.answers()


def test_nobody_wants_it(rig: Rig) -> None:
    process = rig.spawn("--idle-timeout", "0.1")
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, b"no job came" in errors) == (0, True)
    assert not rig.socket.exists()


def test_ends_with_its_folder(runner: Rig) -> None:
    runner.submit("echo ready", "sleep 1000", "exit 1")
    runner.wait_log(b"ready")
    shutil.rmtree(runner.folder)
    assert runner.process and runner.process.wait(PATIENCE) == 0


def test_on_end_runs_after_collected(rig: Rig) -> None:
    mark = rig.base / "ended"
    rig.start("--on-end", sys.executable, "-c", f"open({str(mark)!r}, 'w')")
    rig.run("true")
    assert not mark.exists()
    rig.link.collected()
    assert rig.process and rig.process.wait(PATIENCE) == 0
    assert mark.exists()


def test_folder_and_socket_are_private(runner: Rig) -> None:
    assert runner.folder.stat().st_mode & 0o777 == 0o700
    assert runner.socket.stat().st_mode & 0o777 == 0o600


def test_a_machine_that_shuts_down_and_comes_back(rig: Rig) -> None:
    rig.start()
    rig.submit(
        "trap 'echo saved > f; exit 3' TERM; echo ready; while :; do sleep 0.05; done", artifacts=["f"], grace=60
    )
    rig.wait_log(b"ready")
    assert rig.end(signal.SIGUSR1) == 0
    state = rig.start().wait("uploading")
    assert (state.reason, state.exit_code) == ("interrupted", 3)
    assert rig.output()["f"].size == len("saved\n")
    rig.link.collected()


def test_a_machine_that_shuts_down_for_good_is_collected_first(rig: Rig) -> None:
    rig.start()
    rig.submit("trap 'echo saved > f; exit 3' TERM; echo ready; while :; do sleep 0.05; done", artifacts=["f"])
    rig.wait_log(b"ready")
    assert rig.process
    rig.process.send_signal(signal.SIGUSR2)
    # systemd follows with its own
    rig.process.send_signal(signal.SIGTERM)
    state = rig.wait("uploading")
    assert (state.reason, state.exit_code) == ("interrupted", 3)
    assert rig.output()["f"].size == len("saved\n")
    rig.link.collected()
    assert rig.process.wait(PATIENCE) == 0
