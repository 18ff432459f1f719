"""The protocol as its client sees it: state, log, and connections that break."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink
from tests.unit.runner.rig import PATIENCE, Rig


def answering(data: bytes) -> RunnerLink:
    """A link to a peer that reads a little, answers this and closes."""

    def dial() -> socket.socket:
        ours, theirs = socket.socketpair()

        def answer() -> None:
            with theirs:
                theirs.recv(1000)
                theirs.sendall(data)

        threading.Thread(target=answer).start()
        return ours

    return RunnerLink(dial)


def through_connect(rig: Rig) -> RunnerLink:
    """As over SSH: each connection is a `runner.pyz connect`."""

    def dial() -> socket.socket:
        ours, theirs = socket.socketpair()
        arguments = [sys.executable, str(rig.program), "connect", "--socket", str(rig.socket)]
        with theirs:
            subprocess.Popen(arguments, stdin=theirs, stdout=theirs)
        return ours

    return RunnerLink(dial)


class Silent(socket.socket):
    """What is sent isn't taken in time."""

    def sendall(self, *_: object) -> None:
        raise TimeoutError


def test_a_break_without_words_is_told_by_its_kind() -> None:
    with pytest.raises(LinkError, match="broke off: TimeoutError") as caught:
        RunnerLink(Silent).state()
    assert caught.value.unreachable


def test_state_waits_for_a_change(runner: Rig) -> None:
    state = runner.link.state()
    assert (state.phase, state.log_size, state.log_complete) == ("idle", 0, False)
    threading.Timer(0.2, runner.submit, ["true"]).start()
    assert runner.link.state(state.seq, 30).seq > state.seq
    runner.wait("uploading")


def test_the_same_attempt_again_is_no_error_another_is(runner: Rig) -> None:
    runner.submit("echo once")
    runner.submit("echo twice")
    with pytest.raises(LinkError) as caught:
        runner.submit("true", attempt="a-2")
    assert (caught.value.status, caught.value.unreachable) == (409, False)
    runner.wait("uploading")
    assert runner.log() == b"once\n"


def test_stopped_before_it_had_a_job(runner: Rig) -> None:
    runner.link.stop()
    assert runner.wait("uploading").reason == "stopped"
    with pytest.raises(LinkError) as caught:
        runner.submit("true")
    assert caught.value.status == 409


GOOD = {"attempt": "a", "mode": "process"}


@pytest.mark.parametrize(
    "job",
    [
        {},
        {**GOOD, "attempt": 1},
        {**GOOD, "mode": "boat"},
        {**GOOD, "mode": "docker"},
        {**GOOD, "commands": "ls"},
        {**GOOD, "env": {"A": 1}},
        {**GOOD, "ports": [80]},
        {**GOOD, "grace": "long"},
        {**GOOD, "caches": ["../up"]},
        {**GOOD, "artifacts": ["/etc"]},
        {**GOOD, "home_dir": "home"},
    ],
)
def test_what_is_no_job(runner: Rig, job: dict[str, object]) -> None:
    with pytest.raises(LinkError) as caught:
        runner.link.submit(job)
    assert caught.value.status == 400
    assert runner.link.state().phase == "idle"


def test_following_the_log_from_any_offset(runner: Rig) -> None:
    runner.submit("echo 0123456789", "until [ -e go ]; do sleep 0.05; done", "echo end")
    runner.wait_log(b"9")
    stream = runner.link.log(4, follow=True)
    assert next(stream) == b"456789\n"
    (runner.folder / "work" / "go").touch()
    assert b"".join(stream) == b"end\n"
    assert b"".join(runner.link.log(11)) == b"end\n"
    with pytest.raises(LinkError) as caught:
        list(runner.link.log(100))
    assert caught.value.status == 416


def test_log_times_are_offsets_and_milliseconds(runner: Rig) -> None:
    runner.run("echo one", "sleep 1.3", "echo two")
    lines = [line.split() for line in runner.link.log_times().decode().splitlines()]
    assert [int(offset) for offset, _ in lines] == [0, 4]
    assert int(lines[1][1]) - int(lines[0][1]) >= 1000


def test_through_connect(runner: Rig) -> None:
    link = through_connect(runner)
    runner.submit("head -c 3000000 /dev/zero", "echo ready", artifacts=["f"])
    assert sum(len(chunk) for chunk in link.log(0, follow=True)) == 3_000_006
    assert link.state().attempt == "a-1"
    link.close()


def test_connect_without_a_runner_says_so(rig: Rig) -> None:
    arguments = [sys.executable, str(rig.program), "connect", "--socket", str(rig.socket), "--wait", "0"]
    done = subprocess.run(arguments, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    assert done.returncode == 1
    assert b"no runner answers" in done.stderr


def test_connect_waits_for_no_runner_whose_program_was_removed(rig: Rig) -> None:
    # `-c` is no file
    program = f"from dstack_cloud.runner_bootstrap.payload.connect import connect; raise SystemExit(connect({str(rig.socket)!r}, 3600))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert b"no runner answers" in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_an_answer_that_ends_early_is_an_error(answer: bytes) -> None:
    with pytest.raises(LinkError) as caught:
        list(answering(answer).log(0))
    assert caught.value.unreachable


def test_no_runner_is_unreachable(rig: Rig) -> None:
    with pytest.raises(LinkError) as caught:
        rig.link.state()
    assert caught.value.unreachable


def test_closing_wakes_a_reader(runner: Rig) -> None:
    runner.submit("echo ready", "sleep 1000")
    stream = runner.link.log(0, follow=True)
    assert next(stream) == b"ready\n"
    threading.Timer(0.2, runner.link.close).start()
    with pytest.raises(LinkError):
        next(stream)


def test_a_pooled_connection_that_died_is_replaced(rig: Rig) -> None:
    rig.start()
    rig.link.state()
    rig.crash()
    rig.start()
    assert rig.link.state().phase == "idle"
