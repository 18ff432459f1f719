"""Machines of the user's own: leased to jobs, and left as they were found.

A ref is `NAME:FOLDER`: the machine, and the lease's folder on it. The machine itself keeps the leases, under a lock, so that
two people or servers that share it can't get in each other's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dstack_cloud.backends.base import Capabilities, Finding, Health, Launch, Observed, Owned, PoolMachine
from dstack_cloud.backends.ssh import offers as catalogue
from dstack_cloud.backends.ssh import resources
from dstack_cloud.backends.ssh.client import Machines
from dstack_cloud.backends.ssh.config import OwnMachine, SshConfig
from dstack_cloud.domain.resources import Offer, Requirements, describe
from dstack_cloud.errors import BackendError, InvalidConfiguration
from dstack_cloud.ssh.endpoint import Trust

OLDEST_PYTHON = (3, 10)


class SshBackend:
    """Implements `backends.base.Backend`, `KeptMachines` and `Pool`."""

    name = catalogue.NAME

    def __init__(self, config: SshConfig, installation: str, default_image: str) -> None:
        self._config = config
        self._installation = installation
        self._default_image = default_image
        self._machines = Machines(config)
        self._inventory = catalogue.Inventory(config, self._machines)
        self._by_name = {machine.name: machine for machine in config.machines}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(containers=True, default_image=self._default_image, remote=True, ephemeral=False)

    def validate(self) -> list[Finding]:
        """A finding a machine: what it has, or why it can't be used."""
        if not self._config.machines:
            return [Finding(False, "no machines are configured", "list them in `settings: ssh: machines:`")]
        seen = self._inventory.look(again=True)
        return [_finding(machine, seen[machine.name]) for machine in self._config.machines]

    def pool(self) -> list[PoolMachine]:
        seen = self._inventory.look()
        return [_pool_machine(machine, seen[machine.name]) for machine in self._config.machines]

    def offers(self, requirements: Requirements) -> list[Offer]:
        return catalogue.offers(self._config, self._inventory.look(), requirements)

    def create(self, launch: Launch) -> str:
        """Takes a lease: a place on the machine, and the GPUs of the offer's requirements. Raises NoCapacity while it is busy."""
        machine = self._machine(launch.offer.instance_type)
        facts = self._inventory.facts(machine.name)
        script = resources.acquire(
            self._config,
            launch.key,
            self._installation,
            slots=catalogue.slots(machine, facts.machine),
            gpus=launch.gpus,
            all_gpus=len(facts.machine.gpus),
        )
        return f"{machine.name}:{self._machines.run(machine, script).strip()}"

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        """A lease that is there is a machine that runs. Raises Unavailable where one of the machines doesn't answer."""
        names = {ref.partition(":")[0] for ref in refs}
        held = {f"{name}:{folder}": live for name, folder, live in self._leases(names & self._by_name.keys())}
        return {ref: self._observed(ref, held.get(ref)) for ref in refs}

    def list_owned(self) -> list[Owned]:
        """Of the machines that answer: a lease on one that is off costs nothing."""
        found = []
        with ThreadPoolExecutor(max(len(self._by_name), 1)) as pool:
            for leases in pool.map(self._reachable_leases, self._by_name):
                found += [Owned(f"{name}:{folder}", folder.rpartition("/")[2]) for name, folder, _ in leases]
        return found

    def terminate(self, refs: Sequence[str]) -> None:
        """Ends what runs for the lease and gives it back; the machine stays. Raises Unavailable where it doesn't answer."""
        for ref in refs:
            name, _, folder = ref.partition(":")
            if folder:
                self._machines.run(self._machine(name), resources.release(self._config, folder.rpartition("/")[2]))

    def trust(self, ref: str) -> Trust:
        return self._machines.trust(self._machine(ref.partition(":")[0]))

    def close(self) -> None:
        self._machines.close()

    def _machine(self, name: str) -> OwnMachine:
        if name not in self._by_name:
            raise InvalidConfiguration(
                f"the machine {name!r} isn't in the configuration", "put it back until its jobs have ended"
            )
        return self._by_name[name]

    def _leases(self, names: Iterable[str]) -> list[tuple[str, str, bool]]:
        """(machine's name, folder, whether what runs for it can be there) of each lease of ours."""
        found = []
        for name in names:
            text = self._machines.run(self._by_name[name], resources.leases(self._config, self._installation))
            found += [(name, line[1:], line[0] == resources.LIVE) for line in text.splitlines()]
        return found

    def _reachable_leases(self, name: str) -> list[tuple[str, str, bool]]:
        try:
            return self._leases([name])
        except BackendError:
            return []

    def _observed(self, ref: str, live: bool | None) -> Observed:
        """`live` is None where there is no such lease."""
        name, _, folder = ref.partition(":")
        if not folder or (name in self._by_name and not live):
            given_back = "its place on the machine was given back"
            return Observed(ref, Health.GONE, detail=given_back if live is None else "the machine was restarted")
        # one that isn't configured any more may still be at work: that is refused, not taken for its end
        return Observed(ref, Health.RUNNING, str(self._machines.endpoint(self._machine(name))))


def _pool_machine(machine: OwnMachine, seen: catalogue.Seen) -> PoolMachine:
    if seen.facts is None:
        return PoolMachine(machine.name, None, machine.jobs or 1, seen.problem.summary if seen.problem else "")
    return PoolMachine(machine.name, seen.facts.machine, catalogue.slots(machine, seen.facts.machine))


def _finding(machine: OwnMachine, seen: catalogue.Seen) -> Finding:
    if seen.facts is None:
        problem = seen.problem
        return Finding(False, problem.summary if problem else machine.name, (problem.hint if problem else "") or "look")
    facts = seen.facts
    what = describe(facts.machine)
    version = tuple(int(part) for part in facts.python.split(".")) if facts.python else ()
    if version < OLDEST_PYTHON and not facts.root:
        found = f"Python {facts.python}" if facts.python else "no Python"
        return Finding(False, f"{machine.name}: {what}, {found}", "install Python 3.10 or newer on it")
    if not facts.docker and not facts.root:
        return Finding(
            False,
            f"{machine.name}: {what}, no Docker engine that {machine.user} can use",
            f"install Docker Engine there and add {machine.user} to the group `docker`",
        )
    engine = f"Docker {facts.docker}" if facts.docker else "no Docker engine yet: the first job installs it"
    return Finding(True, f"{machine.name}: {what}, {engine}")
