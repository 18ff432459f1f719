"""What is so in the emulated Azure: resources, operations that take their time, machines, identities, orders to do wrong."""

from __future__ import annotations

import copy
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.fakes.azure.calls import Json, Refusal
from tests.fakes.azure.directory import Directory
from tests.fakes.azure.faults import FaultBook
from tests.fakes.bodies import Machines

SUBSCRIPTION = "5d5c5b5a-0000-4000-8000-00000000abcd"
SUBSCRIPTION_ID = f"/subscriptions/{SUBSCRIPTION}"
NAMESPACES = ("Microsoft.Authorization", "Microsoft.Compute", "Microsoft.ManagedIdentity", "Microsoft.Network")
ALWAYS = "Microsoft.Resources"
DELETED = "deleted"


@dataclass
class Settings:
    """Seconds: `operation_seconds` of each long-running operation (a machine with a body is created when that has come up);
    `invisible_for` until a new machine is in a list, `lingers_for` that a deleted one still is; `role_seconds` until a role
    assignment has an effect; `principal_seconds` until a new identity can be found; `reserve_seconds` that an interface is kept
    for a machine which failed or went without it. Cores: the quotas of a region. `page`: the most that one answer
    lists. `leave_behind`: an eviction leaves interface and
    address. `token_seconds`: what a token is good for. `disabled`: the subscription can only be read.
    """

    operation_seconds: float = 0.0
    retry_after: int = 0
    invisible_for: float = 0.0
    lingers_for: float = 0.0
    role_seconds: float = 0.0
    principal_seconds: float = 0.0
    reserve_seconds: float = 180.0
    token_seconds: float = 3600.0
    cores: int = 10_000
    family_cores: int = 10_000
    low_priority_cores: int = 10_000
    page: int = 100
    leave_behind: bool = False
    disabled: bool = False


@dataclass
class Resource:
    """`body` is the document as it goes over the wire, but for `id`, `name` and `type`."""

    id: str
    type: str
    body: Json
    listed_from: float = 0.0
    gone_at: float = math.inf

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]

    @property
    def properties(self) -> Json:
        found: Json = self.body.setdefault("properties", {})
        return found

    def view(self) -> Json:
        return {"id": self.id, "name": self.name, "type": self.type, **copy.deepcopy(self.body)}


@dataclass
class Operation:
    """One that takes its time. `due`: the monotonic second when it ends; `effect` is done then, or `setback` if it fails. `stuck`:
    it never ends, whatever becomes of the machine that it waits for."""

    id: str
    namespace: str
    location: str
    due: float
    started: float = field(default_factory=time.time)
    effect: Callable[[], None] | None = None
    setback: Callable[[], None] | None = None
    failure: tuple[str, str] | None = None
    ended: bool = False
    stuck: bool = False

    def end(self) -> None:
        if not self.ended and not self.stuck:
            self.ended = True
            if follow := self.setback if self.failure else self.effect:
                follow()


@dataclass
class Life:
    """A virtual machine's, kept when it is over. `state` is its power state, or `failed`, or `deleted`. `asked` is the body of
    the request that made it, secrets and all; `creation` and `deletion` are the operations that wait for its body."""

    id: str
    resource: str
    region: str
    zone: str
    type: str
    spot: bool
    asked: Json
    state: str = "creating"
    reason: str = ""
    address: str = ""
    creation: Operation | None = None
    deletion: Operation | None = None

    @property
    def ended(self) -> bool:
        return self.state == DELETED


class World:
    """`lock` is held by whoever looks at it or changes it."""

    def __init__(self, lasting: tuple[Resource, ...] = ()) -> None:
        """`lasting` are resources that are there from the first day on."""
        self._lasting = lasting
        self.lock = threading.RLock()
        self.faults = FaultBook()
        self.machines: Machines | None = None
        self._begin()

    def _begin(self) -> None:
        self.settings = Settings()
        self.calls: Counter[str] = Counter()
        self.directory = Directory()
        self.resources = {each.id.lower(): copy.deepcopy(each) for each in self._lasting}
        self.operations: dict[str, Operation] = {}
        self.lives: dict[str, Life] = {}
        # an extension of a machine: what installs it
        self.extensions: dict[str, Operation] = {}
        self.registered = {name.lower() for name in (*NAMESPACES, ALWAYS)}
        # a network interface: until when it is kept for which machine
        self.reserved: dict[str, tuple[float, str]] = {}

    def reset(self) -> None:
        """As on the first day. Machines that still have a body are ended."""
        with self.lock:
            if self.machines is not None:
                for life in self.lives.values():
                    if not life.ended:
                        self.machines.end(life.id)
            self.faults.clear()
            self._begin()

    def find(self, id: str) -> Resource | None:
        found = self.resources.get(id.lower().rstrip("/"))
        return found if found is not None and time.monotonic() < found.gone_at else None

    def get(self, id: str, type: str) -> Resource:
        """Raises Refusal."""
        if (found := self.find(id)) is None:
            group = id.split("/")[4] if len(id.split("/")) > 4 else ""
            what = f"{type}/{id.rpartition('/')[2]}"
            why = f"The Resource '{what}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            raise Refusal("ResourceNotFound", why)
        return found

    def put(self, resource: Resource) -> Resource:
        self.resources[resource.id.lower()] = resource
        return resource

    def drop(self, id: str) -> None:
        """Lists may go on with it for a while."""
        found = self.resources.get(id.lower())
        if found is None:
            return
        if self.settings.lingers_for and found.type.endswith("/virtualMachines"):
            found.gone_at = time.monotonic()
        else:
            del self.resources[id.lower()]

    def of_type(self, type: str, prefix: str = "") -> Iterator[Resource]:
        """Those that are there, whether a list has them or not."""
        for resource in list(self.resources.values()):
            same = resource.type.lower() == type.lower() and resource.id.lower().startswith(prefix.lower())
            if same and time.monotonic() < resource.gone_at:
                yield resource

    def listed(self, type: str, prefix: str) -> list[Resource]:
        """What a list says: late about what is new, and about what is gone."""
        now = time.monotonic()
        for id, each in list(self.resources.items()):
            if now >= each.gone_at + self.settings.lingers_for:
                del self.resources[id]
        known = (each for each in self.resources.values() if each.type.lower() == type.lower())
        return [each for each in known if each.id.lower().startswith(prefix.lower()) and now >= each.listed_from]

    def begin(self, namespace: str, location: str, effect: Callable[[], None] | None = None) -> Operation:
        """An operation that ends after the usual time."""
        due = time.monotonic() + self.settings.operation_seconds
        found = Operation(str(uuid.uuid4()), namespace, location, due, effect=effect)
        self.operations[found.id] = found
        return found

    def settle(self) -> None:
        """Operations whose time has come end."""
        now = time.monotonic()
        for operation in list(self.operations.values()):
            if not operation.ended and now >= operation.due:
                operation.end()
