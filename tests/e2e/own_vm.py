"""A machine as a user of their own might have: it was there before, others log in to it, and it stays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstack_cloud.backends.sandbox.client import DockerClient
from tests.e2e.conftest import User, until
from tests.unit.sandbox import machines

# who may use Docker, and may not become root
GUEST = "guest"
# what an engine waits for before it kills what is left of the machine
SHUTDOWN_SECONDS = 30
# nobody ends it after a while
UNDYING = "systemctl disable -q --now dstack-deadman.timer"
PREPARE = f"""
{UNDYING}
useradd -m -s /bin/bash -G docker {GUEST}
install -d -m 700 -o {GUEST} /home/{GUEST}/.ssh
install -m 600 -o {GUEST} /home/dstack/.ssh/authorized_keys /home/{GUEST}/.ssh/
until docker info >/dev/null 2>&1; do sleep 0.2; done
"""
LEFT = f"""
ls -d /var/lib/dstack/leases/*/ /home/{GUEST}/.dstack-leases/*/ /dev/shm/dstack-* 2>/dev/null
ls /etc/systemd/system | grep "^dstack-[rc]"
docker ps -aq --filter label=dstack.attempt
pgrep -af "[r]unner.pyz"
true
"""


@dataclass
class OwnVm:
    """`key` is the path of the user's private key."""

    body: machines.Machine
    key: Path

    def entry(self, **changes: Any) -> dict[str, Any]:
        """What config.yaml says of it."""
        endpoint = self.body.endpoint
        place = {"name": "big", "host": endpoint.host, "port": endpoint.port, "user": endpoint.user}
        return {**place, "key": str(self.key), "host_key": self.body.trust.host_keys[0], **changes}

    def configure(self, user: User, /, **changes: Any) -> None:
        """The user's only machine. JSON is YAML."""
        write(user, [self.entry(**changes)])

    def shell(self, script: str) -> str:
        return self.body.shell(script)

    def restart(self, seconds: int = SHUTDOWN_SECONDS) -> None:
        """As `reboot` there would. With 0, a power cut: nothing of it is told."""
        DockerClient().call("POST", f"/containers/{self.body.ref}/restart?t={seconds}")
        self.body.connection.close()
        self.body.connection = machines.connect(self.body.endpoint, self.body.trust)
        self.shell(UNDYING)

    def end(self) -> None:
        self.body.connection.close()
        self.body.backend.terminate([self.body.ref])
        self.body.backend.close()


def write(user: User, entries: list[dict[str, Any]], **more: Any) -> None:
    """`more` settings of the project."""
    user.home.mkdir(exist_ok=True)
    project = {"backends": ["ssh"], "settings": {"ssh": {"machines": entries}}, **more}
    # what every sandbox machine has in its engine already
    document = {"projects": {"main": project}, "default_image": "dstack-cloud/job:py{python}"}
    (user.home / "config.yaml").write_text(json.dumps(document, indent=1))


def boot(folder: Path) -> OwnVm:
    body = machines.boot(folder)
    body.shell(PREPARE)
    key = folder / "id_ed25519"
    key.touch(mode=0o600)
    key.write_text(body.trust.client_key)
    return OwnVm(body, key)


def await_nothing_left(user: User, machine: OwnVm) -> None:
    """Ends what still runs. Afterwards the machine is up, and as it was."""
    user("stop", "--all", "--abort", "-y", code=None)
    until(lambda: machine.shell(LEFT) == "")
