"""Instances from their beginning to their end, whoever ends them, with a machine behind them or none.

States: https://cloud.google.com/compute/docs/instances/instance-lifecycle
Spot: https://cloud.google.com/compute/docs/instances/spot#preemption
A run that is limited: https://cloud.google.com/compute/docs/instances/limit-vm-runtime
"""

from __future__ import annotations

import datetime
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fakes.bodies import Birth
from tests.fakes.gcp.places import path_of, region_of
from tests.fakes.gcp.resources import now
from tests.fakes.gcp.wire import Json

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

PROVISIONING, STAGING, RUNNING = "PROVISIONING", "STAGING", "RUNNING"
STOPPING, TERMINATED = "STOPPING", "TERMINATED"
# not Google's: what is told in tests of an instance that isn't any more
DELETED = "DELETED"
# why it ended; the first three are types of operations that nobody asks for
PREEMPTED, DIED, OVERDUE = (
    "compute.instances.preempted",
    "compute.instances.hostError",
    "compute.instances.terminationTime",
)
POWERED_OFF, BY_OWNER, BROKEN = "compute.instances.guestTerminate", "delete", "broken"
TELLS = {
    PREEMPTED: "Instance was preempted.",
    DIED: "Instance terminated by Compute Engine.",
    OVERDUE: "Instance terminated: its maximum run duration is over.",
    POWERED_OFF: "Instance terminated by guest OS shutdown.",
}
USER_DATA = "user-data"


@dataclass
class Life:
    """`id` is Google's number. `runs_from`, `ends_at` and `taken_at`: monotonic seconds, None while there is none."""

    id: str
    path: str
    begun: bool = False
    runs_from: float | None = None
    ends_at: float | None = None
    taken_at: float | None = None
    # what follows the end of its body, and why
    removes: bool = False
    ending: bool = False
    reason: str = ""
    told: bool = False
    # as it was when it was removed
    last: Json | None = None


class Fleet:
    """Not for several threads at once: callers hold the world's lock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lives: dict[str, Life] = {}

    def add(self, document: Json) -> None:
        """It is wished for."""
        document["status"] = PROVISIONING
        path = path_of(document["selfLink"], "")
        self._lives[document["id"]] = Life(document["id"], path)

    def begin(self, id: str) -> None:
        """There is room for it: it boots."""
        life = self._lives[id]
        if life.last is not None or life.ending:
            return
        document = self._document(life)
        life.begun, document["status"] = True, STAGING
        if self._world.machines is None:
            life.runs_from = time.monotonic() + self._world.settings.boot_delay
            self.settle()
        else:
            self._world.machines.boot(birth(document))

    def settle(self) -> None:
        """What is due happens."""
        moment = time.monotonic()
        for life in [life for life in self._lives.values() if life.last is None and not life.ending]:
            if life.runs_from is not None and moment >= life.runs_from:
                self.running(life.id, "")
            if life.taken_at is not None and moment >= life.taken_at:
                self.end(life.id, PREEMPTED, removes=_is_deleted(self._document(life)))
            elif life.ends_at is not None and moment >= life.ends_at:
                self.end(life.id, OVERDUE, removes=_is_deleted(self._document(life)))

    def running(self, id: str, address: str) -> None:
        """`address` is its body's, "" for one without."""
        life = self.life(id)
        life.runs_from = None
        document = self._document(life)
        if document["status"] != STAGING:
            return
        document.update(status=RUNNING, lastStartTimestamp=now())
        for interface in document["networkInterfaces"]:
            interface["networkIP"] = address or interface["networkIP"]
            for config in interface.get("accessConfigs", []):
                config["natIP"] = (
                    address or f"34.{random.randint(64, 127)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
                )
        seconds = document["scheduling"].get("maxRunDuration", {}).get("seconds")
        if seconds is not None:
            left = int(seconds) / self._world.settings.hurry
            life.ends_at = time.monotonic() + left
            end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=left)
            document["resourceStatus"] = {
                "scheduling": {"terminationTimestamp": end.isoformat(timespec="milliseconds")}
            }

    def interrupt(self, id: str, seconds: float) -> None:
        """The notice now, and the guest is told to shut down; the end in so many seconds.

        https://cloud.google.com/compute/docs/instances/spot#preemption-process
        """
        life = self.life(id)
        life.taken_at = time.monotonic() + seconds
        if self._world.machines is not None and life.begun:
            self._world.machines.announce(life.id, seconds)
            if self._world.settings.soft_off:
                self._document(life)["status"], life.reason = STOPPING, PREEMPTED
                self._tell(life)
                self._world.machines.soft_off(life.id)
        self.settle()

    def end(self, id: str, reason: str, *, removes: bool) -> None:
        """Its body goes; then it is stopped, or removed with the disks that go with it."""
        life = self.life(id)
        life.removes = life.removes or removes
        life.reason = life.reason or reason
        document = self._document(life)
        if life.ending and self._world.machines is not None:
            return
        document["status"], life.ending = STOPPING, True
        if self._world.machines is not None and life.begun:
            self._world.machines.end(life.id)
        else:
            self.gone(life.id)

    def gone(self, id: str) -> None:
        """Its body is no more, as it was told."""
        life = self.life(id)
        life.ending = False
        self._tell(life)
        if life.removes:
            self._remove(life)
        else:
            self._stop(life)

    def fell(self, id: str, reason: str) -> None:
        """By itself: stopped, with its disk, and its body still lies there."""
        life = self.life(id)
        if not life.ending:
            life.reason = reason
            self._tell(life)
            self._stop(life)

    def broken(self, id: str) -> None:
        life = self.life(id)
        life.reason = BROKEN
        self._remove(life)

    def life(self, id: str) -> Life:
        """By its number or its name. Raises LookupError for one that isn't there any more, too."""
        for life in self._lives.values():
            if life.last is None and id in (life.id, life.path.rpartition("/")[2]):
                return life
        raise LookupError(id)

    def is_broken(self, id: str) -> bool:
        return self._lives[id].reason == BROKEN

    def all(self) -> list[tuple[Life, Json]]:
        """Those that were, too, as they were at last."""
        return [(life, life.last or self._document(life)) for life in self._lives.values()]

    def clear(self) -> None:
        """Bodies are ended."""
        for life in self._lives.values():
            if self._world.machines is not None and life.begun and life.last is None:
                self._world.machines.end(life.id)
        self._lives.clear()

    def _tell(self, life: Life) -> None:
        """Of an end that nobody asked for, once."""
        if life.reason in TELLS and not life.told:
            life.told = True
            self._world.operations.record(life.path, life.reason, TELLS[life.reason])

    def _stop(self, life: Life) -> None:
        document = self._document(life)
        document.update(status=TERMINATED, lastStopTimestamp=now())
        life.ends_at = life.taken_at = life.runs_from = None
        for interface in document["networkInterfaces"]:
            for config in interface.get("accessConfigs", []):
                config.pop("natIP", None)  # an ephemeral address goes when the machine stops

    def _remove(self, life: Life) -> None:
        document = self._document(life)
        for disk in document["disks"]:
            path = path_of(disk["source"], "")
            if disk["autoDelete"]:
                self._world.resources.remove(path)
            else:
                self._world.resources.get(path).pop("users", None)
        self._world.resources.remove(life.path)
        life.last = {**document, "status": DELETED}

    def _document(self, life: Life) -> Json:
        return self._world.resources.get(life.path)


def _is_deleted(document: Json) -> bool:
    return bool(document["scheduling"].get("instanceTerminationAction") == "DELETE")


def birth(document: Json) -> Birth:
    zone = document["zone"].rpartition("/")[2]
    accounts = document.get("serviceAccounts", [])
    return Birth(
        id=document["id"],
        region=region_of(zone),
        zone=zone,
        type=document["machineType"].rpartition("/")[2],
        spot=is_spot(document),
        user_data=metadata(document).get(USER_DATA, ""),
        identity=accounts[0]["email"] if accounts else "",
    )


def is_spot(document: Json) -> bool:
    scheduling = document.get("scheduling", {})
    return bool(scheduling.get("provisioningModel") == "SPOT" or scheduling.get("preemptible"))


def metadata(document: Json) -> dict[str, str]:
    return {each["key"]: each["value"] for each in document.get("metadata", {}).get("items", [])}
