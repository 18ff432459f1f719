"""NVIDIA's driver for machines with GPUs whose image has none: Azure's own extension, which installs CUDA's driver or GRID's as the
size needs it, once the machine is up. Nothing of it concerns other machines.

https://learn.microsoft.com/azure/virtual-machines/extensions/hpccompute-gpu-linux
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, cast

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.errors import is_missing, translated
from dstack_cloud.backends.azure.resources.groups import Groups
from dstack_cloud.backends.azure.resources.machine import DRIVER_TAG, FAILED, SUCCEEDED, state_of, statuses
from dstack_cloud.backends.base import Health, Observed
from dstack_cloud.errors import BackendError, Throttled, Unavailable

log = logging.getLogger(__name__)

Json = dict[str, Any]

PUBLISHER, NAME = "Microsoft.HpcCompute", "NvidiaGpuDriverLinux"
# the least that will do: the newest of its kind is taken
VERSION = "1.6"
# it is compiled for the machine's kernel, which takes minutes; a machine that nobody answers ends itself after a quarter of an hour
GRACE_SECONDS = 540.0
OTHER_IMAGE = "name an image that has it as `images.gpu`"


class Drivers:
    """Threads share it."""

    def __init__(self, client: AzureClient, groups: Groups) -> None:
        self._client, self._groups = client, groups
        self._there: set[str] = set()

    def see_to(self, machine: Json, seen: Observed) -> Observed:
        """What is seen of a machine: as long as its driver is being installed, which this begins, it is starting; it is stopped
        where that failed."""
        if DRIVER_TAG not in (machine.get("tags") or {}):
            return seen
        waiting = replace(seen, grace=GRACE_SECONDS)
        if seen.health is not Health.RUNNING or seen.ref in self._there:
            return waiting
        starting = replace(waiting, health=Health.STARTING, endpoint="")
        if state_of(machine) not in (SUCCEEDED, *FAILED, "updating"):
            return starting
        try:
            return self._installed(machine, waiting) or starting
        except (Unavailable, Throttled) as refused:
            log.info("%s: the driver is seen to later: %s", seen.ref, refused.summary)
            return starting
        except BackendError as refused:
            return _failed(seen.ref, refused.summary)

    def _installed(self, machine: Json, ready: Observed) -> Observed | None:
        """None: not yet."""
        place, _, name = ready.ref.partition("/")
        group = self._groups.name(place)
        extension = self._find(group, name)
        if extension is None:
            self._begin(group, name, str(machine["location"]))
            return None
        state = state_of(extension)
        if state == SUCCEEDED:
            self._there.add(ready.ref)
            return ready
        if state not in FAILED:
            return None
        return _failed(
            ready.ref, next((str(each["message"]) for each in statuses(extension) if each.get("message")), "")
        )

    def _find(self, group: str, name: str) -> Json | None:
        try:
            with translated(f"{group} {name} {NAME}"):
                extensions = self._client.compute().virtual_machine_extensions
                return extensions.get(group, name, NAME, expand="instanceView").as_dict()
        except BackendError as refused:
            if is_missing(refused):
                return None
            raise

    def _begin(self, group: str, name: str, location: str) -> None:
        document = {
            "location": location,
            "properties": {
                "publisher": PUBLISHER,
                "type": NAME,
                "typeHandlerVersion": VERSION,
                "autoUpgradeMinorVersion": True,
            },
        }
        with translated(f"{location} {NAME}"):
            extensions = self._client.compute().virtual_machine_extensions
            extensions.begin_create_or_update(group, name, NAME, cast("Any", document), polling=False)


def _failed(ref: str, why: str) -> Observed:
    line = why.strip().partition("\n")[0]
    told = f"NVIDIA's driver couldn't be installed{f': {line[:300]}' if line else ''}; {OTHER_IMAGE}"
    return Observed(ref, Health.STOPPED, detail=told)
