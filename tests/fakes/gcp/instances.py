"""Instances as the Compute Engine API knows them. https://cloud.google.com/compute/docs/reference/rest/v1/instances"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.fakes.gcp import images, listing, places, quotas
from tests.fakes.gcp.calls import Call, Handler
from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.fleet import BY_OWNER, RUNNING, STOPPING, TERMINATED
from tests.fakes.gcp.launches import new_instance
from tests.fakes.gcp.operations import Change
from tests.fakes.gcp.places import LINK, fingerprint, path_of
from tests.fakes.gcp.wire import Json, Refusal

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

FINGERPRINT = "Supplied fingerprint does not match current {} fingerprint."
NO_ACCESS = (
    "The user does not have access to service account '{}'.  User: '{}'.  Ask a project owner to grant you the "
    "iam.serviceAccountUser role on the service account"
)
BROKEN = {
    "error": {
        "errors": [{"code": "INTERNAL_ERROR", "message": "Internal error. Please try again or contact Google Support."}]
    },
    "httpErrorStatusCode": 500,
    "httpErrorMessage": "INTERNAL SERVER ERROR",
}


class Instances:
    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> Mapping[str, Handler]:
        known = {
            "insert": self.insert, "delete": self.delete, "get": self.get, "list": self.list, "stop": self.stop,
            "aggregatedList": self.aggregated_list, "setLabels": self.set_labels, "setMetadata": self.set_metadata,
        }  # fmt: skip
        return {f"compute.instances.{name}": handler for name, handler in known.items()}

    def insert(self, call: Call) -> Json:
        world, path = self._world, f"{call.path}/{call.body['name']}"
        if path in world.resources:
            raise Refusal(409, f"The resource '{path}' already exists", "alreadyExists")
        document = new_instance(call, world.resources)
        fault = call.fault or self._lacks_account(call, document) or quotas.exceeded(world, document)
        if fault and not fault.after:
            return world.start(call, path, "insert", Change(), fault)
        made = world.resources.add(path, "instance", document)
        id = made["id"]
        for disk in made["disks"]:
            self._make_disk(disk, path, made["zone"])
        world.fleet.add(made)
        change = Change(
            effect=lambda: world.fleet.begin(id),
            ready=lambda: path not in world.resources or made["status"] in (RUNNING, STOPPING, TERMINATED),
            error=lambda: BROKEN if world.fleet.is_broken(id) else {},
        )
        return world.start(call, path, "insert", change, call.fault)

    def _lacks_account(self, call: Call, document: Json) -> Fault | None:
        """https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-service-accounts"""
        for each in document["serviceAccounts"]:
            email, path = each["email"], f"projects/{call.project}/serviceAccounts/{each['email']}"
            if not self._world.accounts.known_for(email, self._world.settings.account_delay):
                message = f"The resource '{path}' of type 'serviceAccount' was not found."
                return Fault(code="EXTERNAL_RESOURCE_NOT_FOUND", message=message)
            facts = {"resource.name": path, "resource.type": "iam.googleapis.com/ServiceAccount"}
            if not self._world.policies.allows(call.caller.email, "iam.serviceAccounts.actAs", facts):
                return Fault(code="SERVICE_ACCOUNT_ACCESS_DENIED", message=NO_ACCESS.format(email, call.caller.email))
        return None

    def _make_disk(self, disk: Json, user: str, zone: str) -> None:
        path, asked = path_of(disk["source"], ""), disk.pop("initializeParams", None)
        if asked is None:
            self._world.resources.get(path)["users"] = [LINK + user]
            return
        image = images.find(asked.get("sourceImage", ""), "")
        size = asked.get("diskSizeGb", str(image.size_gb if image else 10))
        kind = asked.get("diskType", "pd-standard").rpartition("/")[2]
        document = {
            "name": path.rpartition("/")[2], "zone": zone, "sizeGb": str(size), "status": "READY",
            "type": f"{zone}/diskTypes/{kind}", "labels": asked.get("labels", {}), "labelFingerprint": "42WmSpB8rSM=",
            "users": [LINK + user], "physicalBlockSizeBytes": "4096",
        }  # fmt: skip
        source = {"sourceImage": LINK + f"projects/{image.project}/global/images/{image.name}"} if image else {}
        self._world.resources.add(path, "disk", {**document, **source})
        disk["diskSizeGb"] = str(size)

    def get(self, call: Call) -> Json:
        return self._world.resources.get(call.path)

    def list(self, call: Call) -> Json:
        places.check_zone(call.arguments["zone"], call.path)
        scope = f"zones/{call.arguments['zone']}"
        found = self._world.resources.listed("instances", call.project, self._world.settings.listing_lag)
        return listing.page(call, found.get(scope, []), "instance")

    def aggregated_list(self, call: Call) -> Json:
        found = self._world.resources.listed("instances", call.project, self._world.settings.listing_lag)
        silent = [f"zones/{zone}" for zone in self._world.settings.unreachable]
        return listing.aggregated(call, found, "instance", [f"zones/{zone}" for zone in places.zones()], silent)

    def delete(self, call: Call) -> Json:
        world, document = self._world, self._world.resources.get(call.path)
        path = path_of(document["selfLink"], "")
        if document["deletionProtection"]:
            why = "Resource cannot be deleted if it's protected against deletion."
            raise Refusal(412, f"Invalid resource usage: '{why}'.", "conditionNotMet")
        id = document["id"]

        def effect() -> None:
            if path in world.resources and world.resources.get(path)["id"] == id:
                world.fleet.end(id, BY_OWNER, removes=True)

        change = Change(effect, ready=lambda: path not in world.resources or world.resources.get(path)["id"] != id)
        return world.start(call, path, "delete", change, call.fault)

    def stop(self, call: Call) -> Json:
        world, document = self._world, self._world.resources.get(call.path.removesuffix("/stop"))
        path, id = path_of(document["selfLink"], ""), document["id"]

        def effect() -> None:
            if path in world.resources and document["status"] != TERMINATED:
                world.fleet.end(id, "stop", removes=False)

        change = Change(effect, ready=lambda: path not in world.resources or document["status"] == TERMINATED)
        return world.start(call, path, "stop", change, call.fault)

    def set_labels(self, call: Call) -> Json:
        document = self._world.resources.get(call.path.removesuffix("/setLabels"))
        if call.body.get("labelFingerprint") != document["labelFingerprint"]:
            raise Refusal(412, FINGERPRINT.format("labels"), "conditionNotMet")
        labels = copy.deepcopy(call.body.get("labels", {}))
        change = Change(lambda: document.update(labels=labels, labelFingerprint=fingerprint(repr(labels))))
        return self._world.start(call, path_of(document["selfLink"], ""), "setLabels", change, call.fault)

    def set_metadata(self, call: Call) -> Json:
        document = self._world.resources.get(call.path.removesuffix("/setMetadata"))
        if call.body.get("fingerprint") != document["metadata"]["fingerprint"]:
            raise Refusal(412, FINGERPRINT.format("metadata"), "conditionNotMet")
        items = copy.deepcopy(call.body.get("items", []))
        known = {"kind": "compute#metadata", "items": items, "fingerprint": fingerprint(repr(items))}
        change = Change(lambda: document.update(metadata=known))
        return self._world.start(call, path_of(document["selfLink"], ""), "setMetadata", change, call.fault)
