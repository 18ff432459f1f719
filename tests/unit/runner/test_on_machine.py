"""What only a machine of its own shows: its firewall, its service manager, its engine and its cloud's notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink, RunnerState
from tests.unit.runner.rig import until
from tests.unit.sandbox import machines
from tests.unit.sandbox.machines import JOB, Machine

pytestmark = pytest.mark.sandbox

ASK = """\
python3 - <<'END'
import urllib.error, urllib.request
for port in (80, 53):
    try:
        print(port, urllib.request.urlopen(f"http://169.254.169.254:{port}/", timeout=5).status)
    except urllib.error.HTTPError as error:
        print(port, error.code)
    except OSError as error:
        print(port, getattr(error, "reason", error).__class__.__name__)
END
"""
COUNTS = "i=0; until [ -e go ]; do echo $i; i=$((i+1)); sleep 0.05; done; exit 7"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = machines.boot(tmp_path)
    yield made
    made.connection.close()
    made.backend.terminate([made.ref])
    made.backend.close()


def submit(link: RunnerLink, *commands: str, **fields: Any) -> None:
    link.submit({**JOB, "attempt": "a-1", "commands": list(commands), **fields})


def wait(link: RunnerLink, condition: Callable[[RunnerState], object], what: str) -> RunnerState:
    """Also while no runner answers."""
    seen: list[RunnerState] = []

    def looks() -> bool:
        try:
            seen.append(link.state())
        except LinkError:
            return False
        return bool(condition(seen[-1]))

    until(looks, what)
    return seen[-1]


def test_containers_do_not_reach_the_metadata_service(machine: Machine) -> None:
    link = machine.install()
    submit(link, ASK)
    wait(link, lambda state: state.phase == "uploading", "the job's end")
    log = b"".join(link.log())
    assert b"80 ConnectionRefusedError" in log, log
    assert link.state().warnings == ()
    # the machine itself still does
    own = machine.connection.run(
        "python3 -c 'import urllib.request as u; u.urlopen(\"http://169.254.169.254/\", timeout=5)'"
    )
    assert b"HTTP Error 401" in own.err
    rules = machine.shell("iptables -S DOCKER-USER")
    assert rules.count("169.254.169.254") == 1 and "--dport" not in rules and "53" not in rules


def test_a_killed_runner_comes_back_to_its_container(machine: Machine) -> None:
    link = machine.install()
    submit(link, COUNTS)
    wait(link, lambda state: state.log_size > 20, "its first numbers")
    before = machine.shell("systemctl show -p MainPID --value dstack-runner.service").strip()
    machine.shell(f"kill -9 {before}")
    wait(link, lambda state: state.seq > 1_000_000, "the new runner")
    size = link.state().log_size
    wait(link, lambda state: state.log_size > size + 20, "more numbers")
    machine.shell("cd /var/lib/dstack/runner/work && touch go")
    state = wait(link, lambda state: state.phase == "uploading", "the job's end")
    assert (state.exit_code, state.reason, state.warnings) == (7, "", ())
    numbers = b"".join(link.log()).split()
    assert numbers == [b"%d" % number for number in range(len(numbers))]


def test_an_engine_that_is_restarted_ends_the_job_and_says_so(machine: Machine) -> None:
    link = machine.install()
    submit(link, "trap '' TERM", COUNTS)
    wait(link, lambda state: state.log_size > 20, "its first numbers")
    machine.shell("pid=$(cat /run/docker.pid); kill -9 $pid; systemctl restart docker.service")
    state = wait(link, lambda state: state.phase == "uploading", "the job's end")
    assert state.reason == "runner"
    assert "Docker engine" in state.message
