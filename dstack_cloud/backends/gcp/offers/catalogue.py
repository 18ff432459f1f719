"""What Compute Engine has in one region: machine types and GPUs, zone by zone. All of it read, but for what the API doesn't tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import translated
from dstack_cloud.backends.gcp.kinds import ATTACHES, GIB, GPUS, N1_LIMITS, attached, family, is_meant, local_ssd

if TYPE_CHECKING:
    from dstack_cloud.backends.gcp.client import MachineType

MIB = 2**20
PAGE = 500
# Arm and what isn't said: an image for x86 doesn't boot on it
ARM = "ARM64"

# Instance types of each zone as JSON: {zone: {name: {"cpu", "memory" and "ssd" (bytes; local SSDs that are built in), "gpus":
# [accelerator, how many] or null}}}
Zones = dict[str, dict[str, dict[str, Any]]]


def zones(client: GcpClient, names: Sequence[str]) -> Zones:
    """What is in each of these zones."""
    with ThreadPoolExecutor(len(names) or 1) as pool:
        found = pool.map(lambda zone: _zone(client, zone), names)
        return dict(zip(names, found, strict=True))


def _zone(client: GcpClient, zone: str) -> dict[str, dict[str, Any]]:
    request = {"project": client.project, "zone": zone, "max_results": PAGE}
    with translated(zone):
        gpus = client.accelerator_types().list(request=request, **client.reading)
        most = {str(each.name): int(each.maximum_cards_per_instance) for each in gpus}
        types = list(client.machine_types().list(request=request, **client.reading))
    patterns = client.config.instance_types
    return {
        name: described
        for each in types
        if _is_usable(each)
        for name, described in _kinds(each, most)
        if not patterns or any(is_meant(name, pattern) for pattern in patterns)
    }


def _is_usable(kind: MachineType) -> bool:
    built_in = [str(each.guest_accelerator_type) for each in kind.accelerators]
    obsolete = str(kind.deprecated.state) in ("DELETED", "OBSOLETE")
    return str(kind.architecture) != ARM and not obsolete and all(name in GPUS for name in built_in)


def _kinds(kind: MachineType, most: Mapping[str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A machine type as it is, and with each number of the zone's GPUs that may be attached to it."""
    name, ssds = str(kind.name), int(kind.bundled_local_ssds.partition_count)
    size = {"cpu": int(kind.guest_cpus), "memory": int(kind.memory_mb) * MIB, "ssd": ssds * local_ssd(name)}
    built_in = next(iter(kind.accelerators), None)
    if built_in is not None:
        yield name, {**size, "gpus": [str(built_in.guest_accelerator_type), int(built_in.guest_accelerator_count)]}
        return
    yield name, {**size, "gpus": None}
    if family(name) != ATTACHES or kind.is_shared_cpu:
        return
    for accelerator, limits in N1_LIMITS.items():
        for count, limit in limits.items():
            fits = size["cpu"] <= limit.cpu and size["memory"] <= limit.memory
            if fits and count <= most.get(accelerator, 0):
                yield attached(name, accelerator, count), {**size, "gpus": [accelerator, count]}


def gpus(described: Mapping[str, Any]) -> list[tuple[str, int]]:
    """[(name, bytes of memory)], one for each."""
    if described["gpus"] is None:
        return []
    accelerator, count = described["gpus"]
    known = GPUS[accelerator]
    return [(known.name, known.memory * GIB)] * count
