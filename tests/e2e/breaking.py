"""What is done to the machines of a user's runs that no fault of the sandbox's own does: from inside, as root."""

from __future__ import annotations

import json
from typing import Any

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.errors import BackendError
from tests.e2e.conftest import User, until

# a machine that waits so long before it boots waits until it is told to
HELD = 600


def configure(user: User, **sandbox: Any) -> None:
    """Writes config.yaml; `sandbox` are settings of the backend. JSON is YAML."""
    user.home.mkdir(exist_ok=True)
    project = {"backends": ["sandbox"], "settings": {"sandbox": sandbox}}
    (user.home / "config.yaml").write_text(json.dumps({"projects": {"main": project}}))


def machine(user: User, name: str) -> str:
    """The machine that a run has now, once commands run in it."""
    try:
        return str(until(lambda: _alive(user, name)))
    except AssertionError:
        raise AssertionError(
            f"no machine came: {user.run(name)}\n{(user.home / 'server.log').read_text()[-3000:]}"
        ) from None


def _alive(user: User, name: str) -> str:
    found = [each for job in user.run(name)["jobs"] for each in job["instances"]]
    if not found or found[-1]["status"] not in ("requested", "starting", "busy"):
        return ""
    ref = f"dstack-{found[-1]['id']}"
    try:
        inside(ref, "true")
    except BackendError:
        return ""
    return ref


def inside(ref: str, script: str) -> str:
    """What a shell script on the machine prints. Raises BackendError where it fails, or the machine doesn't run."""
    return DockerClient().execute(ref, script).replace("\r\n", "\n")


def held_machine(user: User, name: str) -> str:
    """The same where the configuration has machines HELD, as soon as it is."""
    ref = machine(user, name)
    await_inside(ref, "pidof sleep >/dev/null")
    return ref


def boot(ref: str) -> None:
    """Lets a machine that was HELD go on."""
    inside(ref, "kill $(pidof sleep)")


def await_inside(ref: str, test: str) -> None:
    """Until a shell test is true on the machine."""
    until(lambda: inside(ref, f"if {test}; then echo yes; fi").strip() == "yes")


def cut_connections(ref: str) -> None:
    """Every SSH session of the machine's ends in the middle of what it does; new ones may begin."""
    inside(ref, "pkill -KILL -f '^sshd: ' || true")


def close_ssh(ref: str) -> None:
    inside(ref, "systemctl stop ssh.service; pkill -KILL -f '^sshd: ' || true")


def open_ssh(ref: str) -> None:
    inside(ref, "systemctl start ssh.service")
