"""What is so in the emulated project: what exists, who may do what, and the orders to do wrong."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fakes.bodies import Birth, Machines
from tests.fakes.gcp import network
from tests.fakes.gcp.accounts import Accounts
from tests.fakes.gcp.buckets import Shelves
from tests.fakes.gcp.calls import Call, Caller
from tests.fakes.gcp.faults import Fault, FaultBook
from tests.fakes.gcp.fleet import DIED, POWERED_OFF, Fleet, metadata
from tests.fakes.gcp.operations import LONGEST_LOOK_SECONDS, LONGEST_WAIT_SECONDS, LOOK_SECONDS, Change, Operations
from tests.fakes.gcp.places import NUMBER, PROJECT
from tests.fakes.gcp.policies import Policies
from tests.fakes.gcp.resources import Resources
from tests.fakes.gcp.wire import Json

METADATA = "/computeMetadata/v1/"
MACHINE_TOKEN_SECONDS = 6 * 3600


@dataclass
class Settings:
    """Seconds: until an operation is done; until Compute Engine has heard of a new service account; until a machine without a body
    runs; by which a listing lags behind.

    `hurry`: a limited run ends so many times earlier. `quotas`: limits by metric, of each region and of the project. `disabled`:
    services whose API isn't enabled ("compute.googleapis.com"). `unreachable`: zones that don't answer. `billing`: whether the project has a billing account.
    `soft_off`: an interruption's notice is also the button that makes the guest shut down.
    """

    operation_delay: float = 0.02
    account_delay: float = 0.0
    boot_delay: float = 0.0
    listing_lag: float = 0.0
    hurry: float = 1.0
    quotas: Mapping[str, float] = field(default_factory=dict)
    disabled: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    billing: bool = True
    soft_off: bool = True


class World:
    """`lock` is held by whoever looks at it or changes it; implements `bodies.Cloud`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.faults = FaultBook()
        self.machines: Machines | None = None
        # names, and where what is in them lies: both outlive a reset
        self.buckets: set[str] = set()
        self.shelves: Shelves | None = None
        self.accounts = Accounts()
        self.calls: Counter[str] = Counter()
        self._begin()

    def _begin(self) -> None:
        self.settings = Settings()
        self.resources = Resources()
        self.operations = Operations()
        self.fleet = Fleet(self)
        self.policies = Policies(self.accounts)
        # by requestId: what was asked for with it, and the path of its operation
        self.requests: dict[str, tuple[str, Json]] = {}
        network.add_default(self.resources, PROJECT)

    def start(self, call: Call, target: str, kind: str, change: Change, fault: Fault | None = None) -> Json:
        """An operation, as it is at first."""
        seconds = self.settings.operation_delay
        operation = self.operations.start(target, kind, call.caller.email, change, seconds=seconds, fault=fault)
        if target in self.resources:
            operation["targetId"] = self.resources.get(target)["id"]
        return operation

    def make_bucket(self, name: str) -> None:
        if self.shelves is not None:
            self.shelves.make(name)
        self.buckets.add(name)

    def settle(self) -> None:
        """What is due happens."""
        with self.lock:
            self.operations.settle()
            self.fleet.settle()

    def await_operation(self, path: str) -> None:
        """Until it is done, or two minutes. The lock isn't held meanwhile."""
        deadline, seconds = time.monotonic() + LONGEST_WAIT_SECONDS, LOOK_SECONDS
        while time.monotonic() < deadline:
            with self.lock:
                self.settle()
                if self.operations.get(path)["status"] == "DONE":
                    return
            threading.Event().wait(seconds)
            seconds = min(seconds * 1.5, LONGEST_LOOK_SECONDS)

    def interrupt(self, id: str, seconds: float) -> None:
        with self.lock:
            self.fleet.interrupt(id, seconds)

    def kill(self, id: str) -> None:
        """Its hardware fails: nobody is told before."""
        with self.lock:
            life = self.fleet.life(id)
            if self.machines is not None and life.begun:
                self.machines.end(life.id, abruptly=True)
            self.fleet.fell(life.id, DIED)

    def reset(self) -> None:
        """As on the first day. Machines that still have a body are ended."""
        with self.lock:
            self.fleet.clear()
            self.faults.clear()
            self.calls.clear()
            self.accounts.clear()
            self._begin()

    # -- what a hypervisor tells -----------------------------------------------------------------------------------------

    def documents(self, birth: Birth, address: str) -> Mapping[str, str]:
        """https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys"""
        with self.lock:
            document = self.resources.get(self.fleet.life(birth.id).path)
        name, zone = document["name"], f"projects/{NUMBER}/zones/{birth.zone}"
        host = f"{name}.{birth.zone}.c.{PROJECT}.internal"
        instance = {
            "name": name, "id": document["id"], "zone": zone, "hostname": host, "tags": json.dumps(document["tags"].get("items", [])),
            "machine-type": f"projects/{NUMBER}/machineTypes/{birth.type}",
            **{f"attributes/{key}": text for key, text in metadata(document).items()},
            **self._identity(document),
        }  # fmt: skip
        if address:
            instance["network-interfaces/0/ip"] = address
            instance["network-interfaces/0/access-configs/0/external-ip"] = address
        project = {"project-id": PROJECT, "numeric-project-id": NUMBER}
        found = {f"{METADATA}instance/{path}": text for path, text in instance.items()}
        return found | {f"{METADATA}project/{path}": text for path, text in project.items()}

    def _identity(self, document: Json) -> dict[str, str]:
        """Its service account's, and a token that outlives what a test takes."""
        found: dict[str, str] = {}
        for account in document.get("serviceAccounts", []):
            caller = Caller(account["email"], frozenset(account.get("scopes", ())))
            token = self.accounts.issue(caller, MACHINE_TOKEN_SECONDS)
            answer = {"access_token": token, "expires_in": MACHINE_TOKEN_SECONDS, "token_type": "Bearer"}
            for name in ("default", account["email"]):
                where = f"service-accounts/{name}"
                found |= {f"{where}/token": json.dumps(answer), f"{where}/email": account["email"]}
                found[f"{where}/scopes"] = "\n".join(account.get("scopes", ()))
        return found

    def running(self, id: str, address: str) -> None:
        with self.lock:
            self.fleet.running(id, address)

    def stopped_itself(self, id: str) -> None:
        """Only stopped: its disk stays, and costs."""
        with self.lock:
            self.fleet.fell(id, POWERED_OFF)

    def died(self, id: str) -> None:
        with self.lock:
            self.fleet.fell(id, DIED)

    def broken(self, id: str) -> None:
        with self.lock:
            self.fleet.broken(id)

    def gone(self, id: str) -> None:
        with self.lock:
            self.fleet.gone(id)
