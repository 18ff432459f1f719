"""What the user's machines can give: one offer a machine that is large enough."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dstack_cloud.backends.ssh.client import Facts, Machines
from dstack_cloud.backends.ssh.config import OwnMachine, SshConfig
from dstack_cloud.domain.resources import Machine, Offer, Requirements, SpotPolicy, fits
from dstack_cloud.errors import BackendError, InvalidConfiguration, Unavailable

NAME = "ssh"
REGION = "own"
# a machine's hardware seldom changes; one that didn't answer is asked again soon
GOOD_SECONDS, BAD_SECONDS = 600.0, 10.0


@dataclass(frozen=True)
class Seen:
    """What was learnt of a machine: `facts`, or why there are none."""

    facts: Facts | None
    problem: BackendError | None
    until: float


class Inventory:
    """What the machines are, asked side by side and remembered for a while. Thread-safe."""

    def __init__(self, config: SshConfig, machines: Machines) -> None:
        self._config = config
        self._machines = machines
        self._lock = threading.Lock()
        self._seen: dict[str, Seen] = {}

    def look(self, *, again: bool = False) -> Mapping[str, Seen]:
        """By machine's name; `again` asks those that are remembered, too."""
        now = time.monotonic()
        with self._lock:
            due = [
                machine
                for machine in self._config.machines
                if again or machine.name not in self._seen or self._seen[machine.name].until < now
            ]
        if due:
            with ThreadPoolExecutor(min(len(due), 32)) as pool:
                found = dict(zip((machine.name for machine in due), pool.map(self._ask, due), strict=True))
            with self._lock:
                self._seen.update(found)
        with self._lock:
            return dict(self._seen)

    def facts(self, name: str) -> Facts:
        """Raises why there are none."""
        seen = self.look()[name]
        if seen.facts is None:
            raise seen.problem or Unavailable(f"{name} wasn't looked at")
        return seen.facts

    def _ask(self, machine: OwnMachine) -> Seen:
        try:
            facts = self._machines.look(machine)
        except BackendError as error:
            return Seen(None, error, time.monotonic() + BAD_SECONDS)
        return Seen(facts, None, time.monotonic() + GOOD_SECONDS)


def slots(machine: OwnMachine, facts: Machine) -> int:
    """How many jobs it takes at once."""
    return machine.jobs or max(len(facts.gpus), 1)


def offers(config: SshConfig, seen: Mapping[str, Seen], requirements: Requirements) -> list[Offer]:
    """Raises InvalidConfiguration with the reasons where none fits, Unavailable where none of those that might answers."""
    found: list[Offer] = []
    reasons: list[str] = []
    unreachable: list[BackendError] = []
    for machine in config.machines:
        facts, problem = seen[machine.name].facts, seen[machine.name].problem
        if problem is not None:
            unreachable.append(problem)
        elif facts is not None and (lack := _lack(machine, facts.machine, requirements)):
            reasons.append(f"{machine.name} {lack}")
        elif facts is not None:
            found.append(_offer(machine, facts.machine))
    if found:
        return found
    raise _nothing(reasons, unreachable)


def _offer(machine: OwnMachine, facts: Machine) -> Offer:
    return Offer(backend=NAME, region=REGION, instance_type=machine.name, machine=facts, price=machine.price)


def _lack(machine: OwnMachine, facts: Machine, requirements: Requirements) -> str | None:
    if reason := fits(facts, requirements):
        return reason
    if requirements.spot_policy is SpotPolicy.SPOT and machine.price:
        return "needs a spot machine, this one never is"
    if requirements.regions and REGION not in requirements.regions:
        return f"needs one of the regions {', '.join(requirements.regions)}, is in {REGION}"
    if requirements.instance_types and machine.name not in requirements.instance_types:
        return f"needs to be one of {', '.join(requirements.instance_types)}"
    return None


def _nothing(reasons: Sequence[str], unreachable: Sequence[BackendError]) -> BackendError:
    if unreachable and not reasons and len(unreachable) == 1:
        return unreachable[0]
    texts = [*reasons, *(problem.summary for problem in unreachable)]
    if not texts:
        return InvalidConfiguration("no machines of your own are configured", "list them in `settings: ssh: machines:`")
    hint = "ask for less, or add a machine to `settings: ssh: machines:`"
    if any(problem.retryable for problem in unreachable):
        return Unavailable(f"none of your machines can take it now: {'; '.join(texts)}", hint)
    return InvalidConfiguration(f"none of your machines fits: {'; '.join(texts)}", hint)
