"""What the project may have, of each region and altogether, and what it has.

https://cloud.google.com/compute/resource-usage and https://cloud.google.com/compute/docs/gpus/create-vm-with-gpus#gpu_quota
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.fakes.gcp.catalogue import ACCELERATORS, everywhere
from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.fleet import TERMINATED, is_spot
from tests.fakes.gcp.places import region_of
from tests.fakes.gcp.wire import Json

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

GLOBAL = ("CPUS_ALL_REGIONS", "GPUS_ALL_REGIONS", "NETWORKS", "FIREWALLS")
FAMILIES = {"n2": "N2_CPUS", "a2": "A2_CPUS"}
PLENTY = 10_000.0
# without a quota of their own, Spot VMs use the one of the others: https://cloud.google.com/compute/docs/instances/spot#quota
NONE_BY_ITSELF = ("PREEMPTIBLE_CPUS",)
# there is a quota for these, but not in this list
UNLISTED = ("NVIDIA_H100_GPUS",)


def regional_metrics() -> list[str]:
    gpus = [each.metric for each in ACCELERATORS.values()]
    spot = ["PREEMPTIBLE_CPUS", *(f"PREEMPTIBLE_{metric}" for metric in gpus)]
    known = [
        "CPUS",
        *FAMILIES.values(),
        *gpus,
        *spot,
        "INSTANCES",
        "IN_USE_ADDRESSES",
        "DISKS_TOTAL_GB",
        "SSD_TOTAL_GB",
    ]
    return [metric for metric in known if metric not in UNLISTED]


def limit(world: World, metric: str) -> float:
    return float(world.settings.quotas.get(metric, 0.0 if metric in NONE_BY_ITSELF else PLENTY))


def documents(world: World, region: str = "") -> list[Json]:
    """Of a region, or of the whole project."""
    used = usage(world, region)
    metrics = regional_metrics() if region else GLOBAL
    return [{"metric": metric, "limit": limit(world, metric), "usage": float(used[metric])} for metric in metrics]


def usage(world: World, region: str = "") -> Counter[str]:
    used: Counter[str] = Counter()
    for document in world.resources.all("instances"):
        if region in ("", region_of(document["zone"].rpartition("/")[2])) and document["status"] != TERMINATED:
            used += needs(world, document)
    for disk in world.resources.all("disks"):
        if region in ("", region_of(disk["zone"].rpartition("/")[2])):
            used[_disk_metric(disk["type"])] += int(disk["sizeGb"])
    used["FIREWALLS"], used["NETWORKS"] = (len(world.resources.all(kind)) for kind in ("firewalls", "networks"))
    return used


def needs(world: World, document: Json) -> Counter[str]:
    """Of one instance, without its disks."""
    machine = everywhere()[document["machineType"].rpartition("/")[2]]
    spot = is_spot(document)
    cpus = "PREEMPTIBLE_CPUS" if spot and limit(world, "PREEMPTIBLE_CPUS") else FAMILIES.get(machine.family, "CPUS")
    needed = Counter({cpus: machine.cpus, "CPUS_ALL_REGIONS": machine.cpus, "INSTANCES": 1})
    for each in document.get("guestAccelerators", []):
        metric = ACCELERATORS[each["acceleratorType"].rpartition("/")[2]].metric
        needed[f"PREEMPTIBLE_{metric}" if spot else metric] += each["acceleratorCount"]
        needed["GPUS_ALL_REGIONS"] += each["acceleratorCount"]
    needed["IN_USE_ADDRESSES"] = sum(len(each.get("accessConfigs", [])) for each in document["networkInterfaces"])
    return needed


def exceeded(world: World, document: Json) -> Fault | None:
    """What the operation ends with that would make this instance."""
    region = region_of(document["zone"].rpartition("/")[2])
    here, everywhere_ = usage(world, region), usage(world)
    for metric, count in needs(world, document).items():
        most = limit(world, metric)
        used = (everywhere_ if metric in GLOBAL else here)[metric]
        if used + count > most:
            place = "globally" if metric in GLOBAL else f"in region {region}"
            return Fault(code="QUOTA_EXCEEDED", message=f"Quota '{metric}' exceeded.  Limit: {most} {place}.")
    return None


def _disk_metric(kind: str) -> str:
    return "DISKS_TOTAL_GB" if kind.endswith("pd-standard") else "SSD_TOTAL_GB"
