"""Zones, regions, the project itself, and what may be had where; disks and operations too, as far as they are only looked at.

https://cloud.google.com/compute/docs/reference/rest/v1/zones, .../regions, .../projects, .../machineTypes, .../disks, .../zoneOperations
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tests.fakes.gcp import catalogue, listing, places, quotas
from tests.fakes.gcp.calls import Call, Handler
from tests.fakes.gcp.network import IN_USE
from tests.fakes.gcp.operations import Change
from tests.fakes.gcp.places import LINK, NUMBER, number, path_of, region_of
from tests.fakes.gcp.wire import Json, Refusal

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

LONG_AGO = "1969-12-31T16:00:00.000-08:00"
Documents = Callable[[str, str], list[Json]]


class Geography:
    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> Mapping[str, Handler]:
        known: dict[str, Handler] = {
            "zones.list": self._zones, "zones.get": self._zone, "regions.list": self._regions, "regions.get": self._one_region,
            "projects.get": self._project, "disks.list": self._disks, "disks.get": self._get, "disks.delete": self._delete_disk,
            "disks.aggregatedList": self._all_disks,
        }  # fmt: skip
        for kind, documents in CATALOGUES.items():
            known |= {
                f"{kind}s.list": self._listed(kind, documents),
                f"{kind}s.get": self._got(documents),
                f"{kind}s.aggregatedList": self._aggregated(kind, documents),
            }
        for scope in ("zone", "region", "global"):
            known |= {f"{scope}Operations.{verb}": self._operation for verb in ("get", "wait")}
            known[f"{scope}Operations.list"] = self._operations
        return {f"compute.{name}": handler for name, handler in known.items()}

    def _listed(self, kind: str, documents: Documents) -> Handler:
        def handler(call: Call) -> Json:
            zone = call.arguments["zone"]
            places.check_zone(zone, call.path)
            return listing.page(call, documents(call.project, zone), kind)

        return handler

    def _got(self, documents: Documents) -> Handler:
        def handler(call: Call) -> Json:
            places.check_zone(call.arguments["zone"], call.path)
            for each in documents(call.project, call.arguments["zone"]):
                if each["selfLink"] == LINK + call.path:
                    return each
            raise Refusal(404, f"The resource '{call.path}' was not found", "notFound")

        return handler

    def _aggregated(self, kind: str, documents: Documents) -> Handler:
        def handler(call: Call) -> Json:
            found = {f"zones/{zone}": documents(call.project, zone) for zone in places.zones()}
            return listing.aggregated(call, {scope: each for scope, each in found.items() if each}, kind, list(found))

        return handler

    def _zones(self, call: Call) -> Json:
        return listing.page(call, [_zone(call.project, zone) for zone in places.zones()], "zone")

    def _zone(self, call: Call) -> Json:
        places.check_zone(call.arguments["zone"], call.path)
        return _zone(call.project, call.arguments["zone"])

    def _regions(self, call: Call) -> Json:
        return listing.page(call, [self._region(call.project, region) for region in places.ZONES], "region")

    def _one_region(self, call: Call) -> Json:
        places.check_region(call.arguments["region"], call.path)
        return self._region(call.project, call.arguments["region"])

    def _region(self, project: str, region: str) -> Json:
        link = f"{LINK}projects/{project}/"
        common = {"kind": "compute#region", "id": number(region), "creationTimestamp": LONG_AGO, "description": region}
        zones = [f"{link}zones/{zone}" for zone in places.zones(region)]
        own = {"name": region, "status": "UP", "zones": zones, "selfLink": f"{link}regions/{region}"}
        return {**common, **own, "quotas": quotas.documents(self._world, region)}

    def _project(self, call: Call) -> Json:
        return {
            "kind": "compute#project", "id": NUMBER, "creationTimestamp": "2025-10-01T02:03:04.567-07:00", "name": call.project,
            "selfLink": LINK + call.path, "defaultNetworkTier": "PREMIUM", "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
            "defaultServiceAccount": f"{NUMBER}-compute@developer.gserviceaccount.com",
            "commonInstanceMetadata": {"kind": "compute#metadata", "fingerprint": "Z7Y1xJZ6rVk="},
            "quotas": quotas.documents(self._world),
        }  # fmt: skip

    def _disks(self, call: Call) -> Json:
        places.check_zone(call.arguments["zone"], call.path)
        found = self._world.resources.listed("disks", call.project, self._world.settings.listing_lag)
        return listing.page(call, found.get(f"zones/{call.arguments['zone']}", []), "disk")

    def _all_disks(self, call: Call) -> Json:
        found = self._world.resources.listed("disks", call.project, self._world.settings.listing_lag)
        silent = [f"zones/{zone}" for zone in self._world.settings.unreachable]
        return listing.aggregated(call, found, "disk", [f"zones/{zone}" for zone in places.zones()], silent)

    def _get(self, call: Call) -> Json:
        return self._world.resources.get(call.path)

    def _delete_disk(self, call: Call) -> Json:
        document = self._world.resources.get(call.path)
        path, users = path_of(document["selfLink"], ""), document.get("users")
        if users:
            message = IN_USE.format("disk", path, path_of(users[0], ""))
            raise Refusal(400, message, "resourceInUseByAnotherResource")
        change = Change(lambda: self._world.resources.remove(path))
        return self._world.start(call, path, "delete", change, call.fault)

    def _operation(self, call: Call) -> Json:
        return self._world.operations.get(call.path.removesuffix("/wait"))

    def _operations(self, call: Call) -> Json:
        return listing.page(call, self._world.operations.below(call.path), "operation")


CATALOGUES: Mapping[str, Documents] = {
    "machineType": catalogue.machine_type_documents,
    "acceleratorType": catalogue.accelerator_documents,
}


def _zone(project: str, zone: str) -> Json:
    link = f"{LINK}projects/{project}/"
    common = {
        "kind": "compute#zone",
        "id": number(zone),
        "creationTimestamp": LONG_AGO,
        "description": zone,
        "name": zone,
    }
    own = {"status": "UP", "region": f"{link}regions/{region_of(zone)}", "selfLink": f"{link}zones/{zone}"}
    return {**common, **own, "availableCpuPlatforms": ["Intel Skylake", "Intel Cascade Lake", "AMD Rome"]}
