"""What a new instance is refused for at once, and what is filled in where nothing was asked for.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
"""

from __future__ import annotations

import re

from tests.fakes.gcp import attachments
from tests.fakes.gcp.attachments import MISSING, invalid
from tests.fakes.gcp.calls import Call
from tests.fakes.gcp.catalogue import ACCELERATORS, MOST_CPUS, MachineType, everywhere, machine_types
from tests.fakes.gcp.fleet import is_spot
from tests.fakes.gcp.places import LINK, NUMBER, path_of
from tests.fakes.gcp.resources import Resources
from tests.fakes.gcp.wire import Json, Refusal

# https://cloud.google.com/compute/docs/labeling-resources#requirements
LABEL_KEY, LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
MOST_LABELS = 64
LONGEST_VALUE, LONGEST_METADATA = 256 * 1024, 512 * 1024
# https://cloud.google.com/compute/docs/instances/limit-vm-runtime#restrictions
SHORTEST_RUN, LONGEST_RUN = 30, 120 * 24 * 3600
# https://cloud.google.com/compute/docs/gpus#a3-high
SPOT_ONLY = ("a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g")


def new_instance(call: Call, resources: Resources) -> Json:
    """The document of what is asked for, but for its disks' own. Raises Refusal."""
    asked, scope = call.body, f"projects/{call.project}/zones/{call.arguments['zone']}"
    machine = _machine_type(asked, scope)
    _check_labels(asked.get("labels", {}))
    _check_metadata(asked.get("metadata", {}).get("items", []))
    return {
        **asked,
        "machineType": f"{LINK}{scope}/machineTypes/{machine.name}",
        "zone": LINK + scope,
        "guestAccelerators": _accelerators(asked, machine, scope),
        "scheduling": _scheduling(asked, machine),
        "disks": [attachments.disk(asked, index, scope, resources) for index in attachments.disks(asked, machine)],
        "networkInterfaces": attachments.interfaces(asked, scope, resources),
        "serviceAccounts": [{**each, "email": _account(each)} for each in asked.get("serviceAccounts", [])],
        "tags": {**asked.get("tags", {}), "fingerprint": "42WmSpB8rSM="},
        "metadata": {**asked.get("metadata", {}), "kind": "compute#metadata", "fingerprint": "Z7Y1xJZ6rVk="},
        "labelFingerprint": "42WmSpB8rSM=",
        "fingerprint": "8bWmSpB8rSM=",
        "cpuPlatform": "Unknown CPU Platform",
        "startRestricted": False,
        "deletionProtection": asked.get("deletionProtection", False),
    }


def _machine_type(asked: Json, scope: str) -> MachineType:
    reference = asked.get("machineType", "")
    if not reference:
        raise invalid("machineType", "", "The machine type must be specified.")
    path, zone = path_of(reference, scope), scope.rpartition("/")[2]
    where, _, name = path.rpartition("/machineTypes/")
    if not where.startswith("projects/") or (name not in everywhere() and not name.startswith("custom-")):
        raise invalid("machineType", reference, MISSING)
    if where != scope:
        raise invalid("machineType", reference, f"It lies in another zone than the instance, '{zone}'.")
    if name not in machine_types(zone):
        raise invalid("machineType", reference, f"Machine type with name '{name}' does not exist in zone '{zone}'.")
    return machine_types(zone)[name]


def _accelerators(asked: Json, machine: MachineType, scope: str) -> list[Json]:
    """Those that are built in are there, whether they are asked for or not."""
    name, count = machine.accelerator
    built_in = (
        [{"acceleratorType": f"{LINK}{scope}/acceleratorTypes/{name}", "acceleratorCount": count}] if count else []
    )
    wanted = [
        _accelerator(each, index, machine, scope) for index, each in enumerate(asked.get("guestAccelerators", []))
    ]
    if built_in and wanted and wanted != built_in:
        raise Refusal(400, f"[{machine.name}, {_named(wanted)}] features are not compatible for creating instance.")
    return built_in or wanted


def _accelerator(each: Json, index: int, machine: MachineType, scope: str) -> Json:
    field, reference, count = (
        f"guestAccelerators[{index}]",
        each.get("acceleratorType", ""),
        each.get("acceleratorCount", 0),
    )
    name, zone = reference.rpartition("/")[2], scope.rpartition("/")[2]
    known = ACCELERATORS.get(name)
    if (
        known is None
        or zone not in known.zones
        or path_of(reference, scope).rpartition("/")[0] != f"{scope}/acceleratorTypes"
    ):
        raise invalid(f"{field}.acceleratorType", reference, MISSING)
    if known.family != machine.family:
        raise Refusal(400, f"[{machine.name}, {name}] features are not compatible for creating instance.", "badRequest")
    if count not in known.counts:
        allowed = ", ".join(map(str, known.counts))
        raise invalid(f"{field}.acceleratorCount", count, f"The number of GPU cards must be one of [{allowed}].")
    if machine.cpus > MOST_CPUS.get(name, {}).get(count, machine.cpus):
        message = f"[{machine.name}, {count} {name}] features are not compatible for creating instance."
        raise Refusal(400, message, "badRequest")
    return {"acceleratorType": f"{LINK}{scope}/acceleratorTypes/{name}", "acceleratorCount": count}


def _named(accelerators: list[Json]) -> str:
    return ", ".join(each["acceleratorType"].rpartition("/")[2] for each in accelerators)


def _scheduling(asked: Json, machine: MachineType) -> Json:
    """https://cloud.google.com/compute/docs/instances/create-use-spot and .../setting-vm-host-options"""
    wanted, spot = dict(asked.get("scheduling", {})), is_spot(asked)
    gpu = bool(machine.accelerator[1] or asked.get("guestAccelerators"))
    maintenance = wanted.get("onHostMaintenance", "TERMINATE" if spot or gpu else "MIGRATE")
    restart = wanted.get("automaticRestart", not spot)
    if gpu and maintenance != "TERMINATE":
        raise Refusal(400, "Instances with guest accelerators do not support live migration.", "badRequest")
    if spot and (restart or maintenance != "TERMINATE"):
        why = "Scheduling must have automaticRestart be false and onHostMaintenance be TERMINATE for a Spot VM."
        raise invalid("scheduling", "SPOT", why)
    if machine.name in SPOT_ONLY and not spot:
        why = f"{machine.name} can only be created as a Spot VM, with a reservation or with flex-start."
        raise invalid("scheduling.provisioningModel", "STANDARD", why)
    _check_end(wanted, spot)
    model = {"provisioningModel": "SPOT" if spot else "STANDARD", "preemptible": spot}
    action = {"instanceTerminationAction": "STOP"} if spot else {}
    return {**action, **wanted, **model, "onHostMaintenance": maintenance, "automaticRestart": restart}


def _check_end(wanted: Json, spot: bool) -> None:
    duration = wanted.get("maxRunDuration")
    action = wanted.get("instanceTerminationAction")
    if duration is not None:
        seconds = int(duration.get("seconds", 0))
        if not SHORTEST_RUN <= seconds <= LONGEST_RUN:
            why = f"Must be between {SHORTEST_RUN} and {LONGEST_RUN} seconds."
            raise invalid("scheduling.maxRunDuration.seconds", seconds, why)
        if not action:
            raise invalid("scheduling.instanceTerminationAction", "", "It must be specified with maxRunDuration.")
    elif action and not spot:
        why = "Only a Spot VM, or one with maxRunDuration or terminationTime, can have a termination action."
        raise invalid("scheduling.instanceTerminationAction", action, why)


def _account(wanted: Json) -> str:
    email = wanted.get("email", "default")
    return f"{NUMBER}-compute@developer.gserviceaccount.com" if email == "default" else email


def _check_labels(labels: Json) -> None:
    if len(labels) > MOST_LABELS:
        raise invalid("labels", len(labels), f"At most {MOST_LABELS} labels are allowed.")
    for key, value in labels.items():
        if not LABEL_KEY.fullmatch(key):
            raise invalid("labels", key, "Label keys must match [a-z][a-z0-9_-]{0,62}.")
        if not LABEL_VALUE.fullmatch(value):
            raise invalid("labels", value, "Label values must match [a-z0-9_-]{0,63}.")


def _check_metadata(items: list[Json]) -> None:
    """https://cloud.google.com/compute/docs/metadata/setting-custom-metadata#limitations"""
    keys = [each["key"] for each in items]
    if len(set(keys)) < len(keys):
        raise invalid("metadata", "", "Metadata has duplicate keys.")
    for index, each in enumerate(items):
        if len(each["value"].encode()) > LONGEST_VALUE:
            why = f"String length must be at most {LONGEST_VALUE} bytes."
            raise invalid(f"metadata.items[{index}].value", f"{each['value'][:20]}…", why)
    if sum(len(each["key"]) + len(each["value"].encode()) for each in items) > LONGEST_METADATA:
        raise invalid("metadata", "", f"Metadata is too large: at most {LONGEST_METADATA} bytes.")
