"""`dstack attach` and `dstack ssh` to jobs that run as processes of this computer, and on machines."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e import engine
from tests.e2e.conftest import User, until
from tests.e2e.test_ports import free_ports, page, serves, told_port

SANDBOX = """
    workflows:
      - name: web
        provider: bash
        ports: ["{port}"]
        commands: [mkdir site, echo web > site/page, cd site, python3 -m http.server --bind 127.0.0.1 {port}]
"""


def leave(process: subprocess.Popen[bytes]) -> str:
    """What it said on stderr after Ctrl+C."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    return err.decode()


def a_run(user: User) -> str:
    user.workflows("""
        workflows:
          - name: long
            provider: bash
            commands: [echo first, echo kept > file, 'until [ -e go ]; do sleep 0.05; done', exit 5]
    """)
    name = user.submit("long")
    user.wait_for_log(name, "first")
    return name


def test_the_log_from_its_start_and_the_jobs_exit_code(user: User) -> None:
    name = a_run(user)
    process = user.start("attach", name)
    assert process.stdout and process.stdout.readline() == b"first\n"
    user("ssh", name, "--", "touch go")
    process.communicate(timeout=60)
    assert process.returncode == 5


def test_ctrl_c_leaves_it_and_it_goes_on(user: User) -> None:
    name = a_run(user)
    process = user.start("attach", name)
    assert process.stdout and process.stdout.readline() == b"first\n"
    said = leave(process)
    assert f"dstack attach {name}" in said and f"dstack stop {name}" in said
    assert user.run(name)["status"] == "running"


def test_its_ports_again(user: User) -> None:
    app, local = free_ports(2)
    first = serves(user, "web", app, local)
    assert told_port(first, app) == local
    [run] = user.runs()
    again = user.start("attach", run["name"], "--no-logs")
    other = told_port(again, app)
    assert other > local and page(other) == b"web\n"
    leave(again)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)


def test_what_has_ended_cannot_be_attached_to(user: User) -> None:
    user.workflows("workflows: [{name: hi, provider: bash, commands: [echo hi]}]")
    user("run", "hi")
    [run] = user.runs()
    assert "has ended already: done" in user("attach", run["name"], code=2).err
    assert "nothing of" in user("ssh", run["name"], code=2).err
    assert "no run" in user("attach", "nobody-1", code=2).err


def test_a_command_in_the_jobs_folder(user: User) -> None:
    name = a_run(user)
    assert user("ssh", name, "--", "cat", "file").out == b"kept\n"
    assert user("ssh", name, "--", "echo a; exit 7", code=7).out == b"a\n"
    assert "no other machine" in user("ssh", name, "--host", code=2).err


@pytest.fixture
def on_a_machine(user: User) -> Iterator[tuple[str, int]]:
    """A run that serves a port in a container of a machine, and the port."""
    engine.ensure_job_image()
    engine.ensure_machine_image()
    [port] = free_ports(1)
    user.workflows(SANDBOX.format(port=port))
    name = user.submit("web", "--backend", "sandbox")
    user.wait(name, "running")
    yield name, port
    engine.await_nothing_held(user)


@pytest.mark.sandbox
def test_a_machines_port_and_its_entry_for_ssh(user: User, on_a_machine: tuple[str, int]) -> None:
    name, port = on_a_machine
    process = user.start("attach", name, "--no-logs")
    assert page(told_port(process, port)) == b"web\n"
    config = user.home / "ssh" / "config"
    said = subprocess.run(["ssh", "-F", str(config), name, "id -un"], capture_output=True, text=True, check=True)
    assert said.stdout == "dstack\n"
    leave(process)
    assert not list(config.parent.glob("*/"))


@pytest.mark.sandbox
def test_inside_the_container_or_on_the_machine(user: User, on_a_machine: tuple[str, int]) -> None:
    name, _ = on_a_machine
    assert until(lambda: user("ssh", name, "--", "pwd", code=None).out) == b"/workflow\n"
    assert user("ssh", name, "--", "cat site/page; exit 3", code=3).out == b"web\n"
    assert user("ssh", name, "--host", "--", "id", "-un").out == b"dstack\n"


@pytest.mark.sandbox
def test_without_the_openssh_client(user: User, on_a_machine: tuple[str, int]) -> None:
    name, port = on_a_machine
    (user.folder / "bin").mkdir()
    (user.folder / "bin" / "sh").symlink_to("/bin/sh")
    user.env["PATH"] = str(user.folder / "bin")
    assert until(lambda: user("ssh", name, "--", "pwd", code=None).out) == b"/workflow\n"
    assert user("ssh", name, "--", "cat site/page; echo err >&2; exit 3", code=3).out == b"web\n"
    process = user.start("attach", name, "--no-logs")
    assert page(told_port(process, port)) == b"web\n"
    leave(process)
