"""Ports of jobs that run as processes of this computer."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import urllib.request

from tests.e2e.conftest import User, until


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found


def serves(user: User, name: str, app: int, local: int) -> subprocess.Popen[bytes]:
    user.write(
        f".dstack/workflows/{name}.yaml",
        f"""
        workflows:
          - name: {name}
            provider: bash
            ports: ["{app}:{local}"]
            commands: [mkdir {name}-site, echo {name} > {name}-site/page, cd {name}-site, python3 -m http.server {app}]
        """,
    )
    return user.start("run", name)


def told_port(process: subprocess.Popen[bytes], app: int) -> int:
    assert process.stderr
    told = re.compile(rb"port %d at http://localhost:(\d+)" % app)
    return int(until(lambda: told.search(process.stderr.readline() if process.stderr else b"")).group(1))


def page(port: int) -> bytes:
    with urllib.request.urlopen(f"http://localhost:{port}/page", timeout=60) as answer:
        return bytes(answer.read())


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_the_programs_own_port(user: User) -> None:
    [port] = free_ports(1)
    process = serves(user, "web", port, port)
    assert told_port(process, port) == port
    assert page(port) == b"web\n"
    end(process)


def test_another_port_here_as_long_as_somebody_follows(user: User) -> None:
    app, local = free_ports(2)
    process = serves(user, "web", app, local)
    assert told_port(process, app) == local
    assert page(local) == b"web\n"
    end(process)
    assert socket.socket().connect_ex(("127.0.0.1", local)) != 0


def test_two_runs_that_want_the_same_port(user: User) -> None:
    first_app, second_app, local = free_ports(3)
    first = serves(user, "first", first_app, local)
    assert told_port(first, first_app) == local
    second = serves(user, "second", second_app, local)
    other = told_port(second, second_app)
    assert other > local
    assert (page(local), page(other)) == (b"first\n", b"second\n")
    end(first)
    end(second)
