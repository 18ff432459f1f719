"""Runs scripts on the user's machines, over connections that are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dstack_cloud.backends.base import nvidia
from dstack_cloud.backends.ssh.config import Hop, OwnMachine, SshConfig
from dstack_cloud.backends.ssh.errors import refused, unreachable
from dstack_cloud.domain.resources import Machine
from dstack_cloud.errors import InvalidConfiguration, SshError, Unavailable
from dstack_cloud.ssh.endpoint import Endpoint, Jump, Trust
from dstack_cloud.ssh.known_hosts import known_keys
from dstack_cloud.ssh.pool import Connections

# a script that takes a lock or asks an engine; a machine that is off is noticed long before
SCRIPT_SECONDS = 30.0
CONNECT_SECONDS = 8.0

FACTS = r"""
echo "cpu=$(nproc)"
awk '/^MemTotal:/ {print "memory_kib=" $2}' /proc/meminfo
df -Pk / | awk 'NR == 2 {print "disk_kib=" $4}'
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then echo root=yes; else echo root=no; fi
if [ "$(id -u)" = 0 ]; then as=; else as="sudo -n"; fi
docker version --format 'docker={{.Server.Version}}' 2>/dev/null || $as docker version --format 'docker={{.Server.Version}}' 2>/dev/null || true
echo "python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
if command -v nvidia-smi >/dev/null; then
  NVIDIA_SMI 2>/dev/null | sed 's/^/gpu=/'
fi
exit 0
""".replace("NVIDIA_SMI", " ".join(nvidia.QUERY))


@dataclass(frozen=True)
class Facts:
    """`docker` and `python` are versions, "" where there is none; `root`: whether we may become it."""

    machine: Machine
    root: bool
    docker: str
    python: str


def read_facts(text: str) -> Facts:
    """What the script FACTS printed. Raises ValueError for something else."""
    values: dict[str, str] = {}
    gpus: list[str] = []
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "gpu":
            gpus.append(value)
        else:
            values[key] = value
    try:
        machine = Machine(
            cpu=int(values["cpu"]),
            memory=int(values["memory_kib"]) * 1024,
            disk=int(values["disk_kib"]) * 1024,
            gpus=nvidia.read_gpus(gpus),
        )
    except KeyError as missing:
        raise ValueError(f"it doesn't say its {missing}") from None
    return Facts(machine, values.get("root") == "yes", values.get("docker", ""), values.get("python", ""))


class Machines:
    """Thread-safe. Every method may raise Unavailable, InvalidConfiguration."""

    def __init__(self, config: SshConfig) -> None:
        self._config = config
        self._connections = Connections(timeout=CONNECT_SECONDS)

    def run(self, machine: OwnMachine, script: str) -> str:
        """What the script printed. Raises what `errors.refused` makes of another exit code than 0, too."""
        endpoint, trust = self.endpoint(machine), self.trust(machine)
        try:
            done = self._connections.get(str(endpoint), trust).run("sh -s", script.encode(), timeout=SCRIPT_SECONDS)
        except SshError as error:
            raise unreachable(machine.name, error) from error
        if done.code:
            raise refused(machine.name, done.code, done.err.decode(errors="replace").strip())
        return done.out.decode(errors="replace")

    def look(self, machine: OwnMachine) -> Facts:
        """Raises Unavailable also for strange answers."""
        said = self.run(machine, FACTS)
        try:
            return read_facts(said)
        except ValueError as error:
            raise Unavailable(f"{machine.name} gives strange answers: {error}", "is it a Linux machine?") from error

    def endpoint(self, machine: Hop) -> Endpoint:
        if not machine.user:
            raise InvalidConfiguration(
                f"the machine {machine.host} has no `user`", "name the user to log in as, for it or for all machines"
            )
        return Endpoint(machine.user, machine.host, machine.port)

    def trust(self, machine: OwnMachine) -> Trust:
        jump = machine.jump
        if jump is None:
            return self._trust(machine)
        hop = jump.model_copy(update={"user": jump.user or machine.user, "key": jump.key or machine.key})
        through = Jump(str(self.endpoint(hop)), self._trust(hop))
        return Trust(self._client_key(machine), self._host_keys(machine), (through,))

    def close(self) -> None:
        self._connections.close()

    def _trust(self, hop: Hop) -> Trust:
        return Trust(self._client_key(hop), self._host_keys(hop))

    def _client_key(self, hop: Hop) -> str:
        """ "" stands for the agent's."""
        if not hop.key:
            return ""
        path = Path(hop.key).expanduser()
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidConfiguration(
                f"the key {path} for {hop.host} can't be read: {error}", "name your private key's file"
            ) from error

    def _host_keys(self, hop: Hop) -> tuple[str, ...]:
        keys = hop.host_key or known_keys(self._config.known_hosts.expanduser(), hop.host, hop.port)
        if not keys:
            raise InvalidConfiguration(
                f"the host key of {hop.host} isn't known",
                "log in once with `ssh`, or set its `host_key` to what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` "
                "prints on the machine itself (SHA256:…)",
            )
        return keys
