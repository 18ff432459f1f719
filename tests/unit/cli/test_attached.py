"""The real command as a process of its own: signals, terminals, a server that comes and goes."""

from __future__ import annotations

import json
import os
import pty
import queue
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dstack_cloud.api.schemas import AccessView
from dstack_cloud.ssh import keys
from tests.fakes.unix_http import Reply, Request, reply_json, serving
from tests.unit.cli import views
from tests.unit.cli.conftest import BASE

PATIENCE_SECONDS = 60
COMMAND = [sys.executable, "-m", "dstack_cloud", "run", "train"]


class Stage:
    """A run that tells whatever is put into `frames`, and ends as it is asked to."""

    def __init__(self) -> None:
        self.frames: queue.Queue[bytes] = queue.Queue()
        self.stops: list[bool] = []
        self.access: list[AccessView] = []

    def __call__(self, request: Request) -> Reply:
        path = request.path.removeprefix(BASE)
        if path.endswith("/follow"):
            return Reply(chunks=iter(self.frames.get, b""))
        if path.endswith("/stop"):
            self.stops.append(json.loads(request.body)["abort"])
            self.run(views.run("stopping" if self.stops == [False] else "aborting"))
            return reply_json(views.run("stopping"))
        if path.endswith("/access"):
            return reply_json(self.access)
        return reply_json(views.plan() if path == "/plan" else views.run("submitted") if path == "/runs" else {})

    def run(self, view: object) -> None:
        self.frames.put(json.dumps({"type": "run", "run": view}).encode() + b"\n")

    def await_stops(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.stops) < count and time.monotonic() < deadline:
            time.sleep(0.01)

    def log(self, data: bytes) -> None:
        self.frames.put(json.dumps({"type": "log", "job": "train", "size": len(data)}).encode() + b"\n" + data)


@pytest.fixture
def stage(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("DSTACK_HOME", str(tmp_path / "home"))
    stage = Stage()
    with serving(tmp_path / "home", stage):
        yield stage


def started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def read_until(stream: int, wanted: str) -> str:
    """What a pipe or terminal says, until it says `wanted`."""
    text, deadline = b"", time.monotonic() + PATIENCE_SECONDS
    while wanted.encode() not in text:
        assert time.monotonic() < deadline, text
        if select.select([stream], [], [], 0.5)[0]:
            text += os.read(stream, 1 << 16)
    return text.decode()


def finish(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, err.decode()


def test_ctrl_c_once_stops_and_keeps_following(stage: Stage) -> None:
    process = started()
    assert process.stderr
    read_until(process.stderr.fileno(), "submitted")
    process.send_signal(signal.SIGINT)
    read_until(process.stderr.fileno(), "press Ctrl+C again to abort")
    stage.await_stops(1)
    stage.log(b"saved\n")
    stage.run(views.run("stopped"))
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, stage.stops) == (130, b"saved\n", [False])


def test_ctrl_c_twice_aborts_and_a_third_time_leaves(stage: Stage) -> None:
    process = started()
    assert process.stderr
    read_until(process.stderr.fileno(), "submitted")
    for words in ("again to abort", "again to leave it alone"):
        process.send_signal(signal.SIGINT)
        read_until(process.stderr.fileno(), words)
    stage.await_stops(2)
    assert sorted(stage.stops) == [False, True]
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    stage.frames.put(b"")


def test_a_closed_terminal_stops_nothing(stage: Stage) -> None:
    # a suite that was started with nohup ignores it, and so would the program
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    process = started()
    signal.signal(signal.SIGHUP, before)
    assert process.stderr
    read_until(process.stderr.fileno(), "submitted")
    process.send_signal(signal.SIGHUP)
    finish(process)
    stage.frames.put(b"")
    assert stage.stops == []


def test_a_reader_that_goes_away_stops_nothing(stage: Stage) -> None:
    process = started()
    assert process.stdout
    stage.log(b"first\n")
    read_until(process.stdout.fileno(), "first")
    process.stdout.close()
    stage.log(b"second\n" * 10_000)
    stage.run(views.run("done", 0))
    assert process.stderr
    err = process.stderr.read().decode()
    assert process.wait(PATIENCE_SECONDS) == 141
    assert "Traceback" not in err
    assert stage.stops == []


def test_a_line_is_on_the_screen_before_the_next_one_is_made(stage: Stage) -> None:
    process = started()
    assert process.stdout
    for number in range(3):
        stage.log(f"line {number}\n".encode())
        assert read_until(process.stdout.fileno(), f"line {number}\n")
    stage.run(views.run("done", 0))
    assert finish(process)[0] == 0


def terminal_says(stage: Stage, **variables: str) -> str:
    """All that a terminal of 80 columns shows, escape sequences and all."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    process = subprocess.Popen(COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    stage.run(views.run("provisioning", message="pulling [3/7] python:3.11"))
    seen = read_until(ours, "pulling [3/7] python:3.11")
    stage.run(views.run())
    stage.log(b"hi")
    seen += read_until(ours, "hi")
    stage.run(views.run("failed", 3))
    seen += read_until(ours, "shady-1 failed: exit code 3")
    assert process.wait(PATIENCE_SECONDS) == 3
    os.close(ours)
    return seen


def test_each_refusal_and_each_lost_machine_is_told_once(stage: Stage) -> None:
    view = views.run("provisioning")
    refused, lost = views.instance(1, "NoCapacity: none left"), views.instance(2)
    lost |= {"id": "j", "spot": True, "ending": "interrupted", "wrong": "interrupted", "zone": "here-1"}
    for launches in ([refused], [refused, lost], [refused, lost, views.instance(3)]):
        view["jobs"][0]["instances"] = launches
        stage.run(view)
    stage.run(views.run("done", 0))
    lines = finish(started())[1].splitlines()
    assert lines.count("sandbox/small in here: no capacity") == 1
    assert lines.count("attempt 2 on sandbox/small spot in here-1: interrupted") == 1


def test_a_terminal_shows_progress_on_one_line_and_wipes_it(stage: Stage) -> None:
    seen = terminal_says(stage)
    assert re.search("[⠀-⣿]", seen), "a spinner turns"
    assert "\x1b[2K" in seen
    assert "hi\r\nshady-1 failed: exit code 3" in seen


def test_a_port_is_told_of_when_its_program_answers_and_gone_at_the_end(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        stage.access = [views.access(local=wanted, target=(program := free_port()))]
        process = started()
        assert process.stderr and process.stdout
        stage.run(views.run())
        stage.log(b"loading\n")
        read_until(process.stdout.fileno(), "loading\n")
        with serving_hello(program):
            told = read_until(process.stderr.fileno(), f"({wanted} is taken here)\n")
            here = int(told.rpartition("http://localhost:")[2].split()[0])
            with socket.create_connection(("127.0.0.1", here), PATIENCE_SECONDS) as client:
                assert client.recv(5) == b"hello"
        stage.run(views.run("done", 0))
        assert finish(process)[0] == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", here))


def test_a_job_that_goes_on_elsewhere_is_served_where_it_was_before(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        process, urls = started(), []
        assert process.stderr
        for attempt in (1, 2):
            stage.access = [views.access(local=wanted, target=(program := free_port()))]
            with serving_hello(program):
                view = views.run()
                view["jobs"][0]["attempt"] = attempt
                stage.run(view)
                urls.append(read_until(process.stderr.fileno(), f"({wanted} is taken here)\n").splitlines()[-1])
            # the first machine is lost, and with it what listened there
            stage.run(views.run("pending"))
        assert urls[0] == urls[1]
        stage.run(views.run("done", 0))
        assert finish(process)[0] == 0


def test_a_machine_that_does_not_answer_is_told_of(stage: Stage) -> None:
    pair = keys.generate()
    stage.access = [
        {**views.access(local=8001, target=8001), "endpoint": f"ssh:dstack@127.0.0.1:{free_port()}",
         "client_key": pair.private, "host_keys": [pair.public]},
    ]  # fmt: skip
    process = started()
    assert process.stderr
    stage.run(views.run())
    read_until(process.stderr.fileno(), "the ports of shady-1.train have to wait")
    stage.run(views.run("done", 0))
    assert finish(process)[0] == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving_hello(port: int) -> Iterator[None]:
    """A program that greets whoever connects, until nobody is left."""
    with socket.create_server(("127.0.0.1", port)) as server:
        threading.Thread(target=greet, args=(server,), daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)


def greet(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.sendall(b"hello")


def test_no_colour_where_none_is_wanted(stage: Stage) -> None:
    assert not re.search("\x1b\\[[0-9;]*3[0-9]m", terminal_says(stage, NO_COLOR="1"))


def test_watching_ends_well_with_ctrl_c(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTACK_HOME", str(tmp_path / "home"))
    ours, theirs = pty.openpty()
    with serving(tmp_path / "home", lambda request: reply_json([views.run()])) as requests:
        command = [sys.executable, "-m", "dstack_cloud", "ps", "-w"]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        assert "shady-1" in read_until(ours, "$0.25")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(requests) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    os.close(ours)
