"""Where a poweroff isn't the end of a machine, it runs its ending first: whoever shuts it down, but not at a reboot."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Health
from tests.unit.sandbox import machines

pytestmark = pytest.mark.sandbox

END_SECONDS = 60
# tells the computer that it is on, as the last thing that a machine does with its network
ENDING = """#!/bin/sh
host=$(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')
python3 -c "import urllib.request as u; u.urlopen('http://$host:PORT/', timeout=10)"
"""


@contextmanager
def told() -> Iterator[tuple[int, list[str]]]:
    """A port of this computer, and who has asked there."""
    asked: list[str] = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.client_address[0])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("", 0), Ear) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


@pytest.mark.parametrize(
    ("command", "times"),
    [
        ("systemctl poweroff --no-block", 1),
        # asks itself, and then the shutdown does once more
        ("systemctl start --no-block dstack-deadman.service", 2),
        ("systemctl reboot --no-block", 0),
    ],
)
def test_an_ending_is_run_at_every_shutdown_but_a_reboot(tmp_path: Path, command: str, times: int) -> None:
    with told() as (port, asked):
        machine = machines.boot(tmp_path, ending=ENDING.replace("PORT", str(port)))
        with closing(machine.backend):
            deadline = time.monotonic() + END_SECONDS
            while "active" not in machine.connection.run("systemctl is-active dstack-ending").out.decode().split():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            machine.shell(command)
            while machine.backend.inspect([machine.ref])[machine.ref].health is not Health.GONE:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            machine.backend.terminate([machine.ref])
        assert asked == [machine.endpoint.host] * times
