"""What is so in the emulated cloud besides what moto keeps: machines that boot and end, tokens, prices, orders to do wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance, StateReason
from moto.moto_api._internal.models import moto_api_backend

from tests.fakes.aws import identity, prices
from tests.fakes.aws.calls import Answer, Call
from tests.fakes.aws.faults import FaultBook
from tests.fakes.bodies import Birth, Machines

PENDING, RUNNING, SHUTTING_DOWN, TERMINATED = ("pending", 0), ("running", 16), ("shutting-down", 32), ("terminated", 48)
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html
INTERRUPTED = ("Server.SpotInstanceTermination", "Spot instance termination")
POWERED_OFF = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
BROKEN = ("Server.InternalError", "Internal error on launch")
DIED = ("", "")  # hardware that fails says nothing


@dataclass
class Settings:
    """Seconds: until a machine without a body runs; until a new instance can be seen. `vcpus` is each quota, by region."""

    boot_delay: float = 0.0
    invisible_for: float = 0.0
    vcpus: float = 10_000.0


@dataclass
class _Life:
    """When an instance began, and what was settled about it then."""

    region: str
    seen_from: float
    runs_from: float


class World:
    """Satisfies `bodies.Cloud`. `lock` is held by whoever looks at moto's EC2 or changes it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.faults = FaultBook()
        self.settings = Settings()
        self.machines: Machines | None = None
        self.calls: Counter[str] = Counter()
        # by region and ClientToken: a digest of the request, and the answer to it
        self.tokens: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._lives: dict[str, _Life] = {}

    def launched(self, instance: Instance, role: str) -> None:
        now = time.monotonic()
        set_state(instance, PENDING)
        self._lives[instance.id] = _Life(
            instance.region_name, now + self.settings.invisible_for, now + self.settings.boot_delay
        )
        if self.machines is not None:
            data = instance.user_data.decode() if instance.user_data else ""
            zone, spot = str(instance.availability_zone), instance.lifecycle == "spot"
            self.machines.boot(Birth(instance.id, instance.region_name, zone, instance.instance_type, spot, data, role))

    def ended(self, instance: Instance) -> None:
        """moto has ended it; its body takes a little longer."""
        if self.machines is not None:
            set_state(instance, SHUTTING_DOWN)
            self.machines.end(instance.id)

    def visible(self, id: str) -> bool:
        life = self._lives.get(id)
        return life is None or time.monotonic() >= life.seen_from

    def settle(self) -> None:
        """Instances without a body, whose time has come, run."""
        if self.machines is None:
            now = time.monotonic()
            for instance in self.instances():
                if instance.state == PENDING[0] and now >= self._lives[instance.id].runs_from:
                    set_state(instance, RUNNING)

    def documents(self, birth: Birth, address: str) -> Mapping[str, str]:
        return identity.documents(birth, address)

    def running(self, id: str, address: str) -> None:
        with self.lock:
            instance = self.instance(id)
            if instance.state == PENDING[0]:
                nic = instance.nics[0]
                nic.private_ip_address = address
                if nic.public_ip:
                    nic.public_ip = address
                set_state(instance, RUNNING)

    def gone(self, id: str) -> None:
        with self.lock:
            set_state(self.instance(id), TERMINATED)

    def died(self, id: str) -> None:
        self.terminate(id, DIED)

    def broken(self, id: str) -> None:
        self.terminate(id, BROKEN)

    def stopped_itself(self, id: str) -> None:
        """Ended or only stopped, as its launch says."""
        with self.lock:
            instance = self.instance(id)
            if instance.instance_initiated_shutdown_behavior == "terminate":
                self.terminate(id, POWERED_OFF)
            elif instance.state == RUNNING[0]:
                instance.stop()
                set_reason(instance, POWERED_OFF)

    def terminate(self, id: str, reason: tuple[str, str]) -> None:
        """By somebody else than its owner."""
        with self.lock:
            instance = self.instance(id)
            if instance.state not in (SHUTTING_DOWN[0], TERMINATED[0]):
                instance.terminate()
                set_reason(instance, reason)

    def interrupt(self, id: str, seconds: float) -> None:
        """The notice now, the end in so many seconds."""
        self.instance(id)
        if self.machines is not None and seconds:
            self.machines.announce(id, seconds)
        timer = threading.Timer(seconds, self.terminate, (id, INTERRUPTED))
        timer.daemon = True
        timer.start()

    def kill(self, id: str) -> None:
        """Its hardware fails: nobody is told before."""
        if self.machines is not None:
            self.machines.end(id, abruptly=True)
        self.terminate(id, DIED)

    def instance(self, id: str) -> Instance:
        """Raises LookupError."""
        with self.lock:
            for instance in self.instances():
                if instance.id == id:
                    return instance
        raise LookupError(id)

    def instances(self) -> Iterator[Instance]:
        for backend in regions().values():
            for reservation in list(backend.reservations.values()):
                yield from reservation.instances

    def vcpus(self, region: str, market: str) -> int:
        """Those of the instances there that count."""
        known = (
            each for each in self.instances() if each.region_name == region and each.state in (PENDING[0], RUNNING[0])
        )
        return sum(prices.vcpus(each.instance_type) for each in known if (each.lifecycle or "on-demand") == market)

    def facts(self, call: Call) -> dict[str, str]:
        """What a launch asks for, where the wire says it in one of several ways."""
        if (call.service, call.operation) != ("ec2", "RunInstances"):
            return {}
        subnet = call.params.get("SubnetId") or call.params.get("NetworkInterface.1.SubnetId", "")
        known = regions().get(call.region)
        zones = {name: zone for zone, by_id in known.subnets.items() for name in by_id} if known else {}
        return {
            "type": str(call.params.get("InstanceType", "")),
            "zone": zones.get(subnet) or str(call.params.get("Placement.AvailabilityZone", "")),
            "market": str(call.params.get("InstanceMarketOptions.MarketType", "on-demand")),
        }

    def reset(self) -> None:
        """As on the first day. Machines that still have a body are ended."""
        with self.lock:
            if self.machines is not None:
                for id in list(self._lives):
                    self.machines.end(id)
            moto_api_backend.reset()
            self.faults.clear()
            self.tokens.clear()
            self.calls.clear()
            self._lives.clear()
            self.settings = Settings()


def regions() -> Mapping[str, Any]:
    """moto's EC2 of every region that anybody has asked for."""
    return dict(ec2_backends[DEFAULT_ACCOUNT_ID])


def set_state(instance: Instance, state: tuple[str, int]) -> None:
    instance._state.name, instance._state.code = state


def set_reason(instance: Instance, reason: tuple[str, str]) -> None:
    code, message = reason
    instance.state_reason = StateReason(f"{code}: {message}", code) if code else StateReason()
