"""What resources of most types have in common: put, read, listed by group and by subscription, deleted unless they are in use."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.azure import operations
from tests.fakes.azure.arm import Handler, Request
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.envelope import check_location, check_tags
from tests.fakes.azure.world import SUBSCRIPTION_ID, Resource, World

Prepare = Callable[[World, Resource], None]


@dataclass(frozen=True)
class Kind:
    """`type` is `Microsoft.Network/networkInterfaces`, `operations` the SDK's group of operations, `model` the SDK's model.

    `prepare` completes a new or changed resource, or raises Refusal for what the description doesn't say. `keeps` raises Refusal
    while the resource may not be deleted; `frees` lets go of what it held when it is. `lasting` are properties that a change of the resource doesn't touch.
    `listing` are the operations that list a group and the subscription, `tagging` the one that changes tags, and its body's model;
    `created` is the status of an answer to one that is new.
    """

    type: str
    operations: str
    model: str
    prepare: Prepare
    keeps: Prepare
    frees: Prepare = lambda world, resource: None
    lasting: tuple[str, ...] = ("resourceGuid",)
    listing: tuple[str, str] = ("list", "list_all")
    tagging: tuple[str, str] = ("update_tags", "network.TagsObject")
    created: int = 201

    def handlers(self) -> dict[str, Handler]:
        by_group, everywhere = self.listing
        return {
            f"{self.operations}.create_or_update": self._put,
            f"{self.operations}.get": lambda world, request: Answer(200, world.get(request.id, self.type).view()),
            f"{self.operations}.delete": self._delete,
            f"{self.operations}.{self.tagging[0]}": self._tag,
            f"{self.operations}.{by_group}": lambda world, request: self._list(world, request.group),
            f"{self.operations}.{everywhere}": lambda world, request: self._list(world, SUBSCRIPTION_ID),
        }

    def models(self) -> dict[str, tuple[str, str]]:
        by_group, everywhere = self.listing
        return {
            f"{self.operations}.create_or_update": (self.model, self.model),
            f"{self.operations}.get": ("", self.model),
            f"{self.operations}.{self.tagging[0]}": (self.tagging[1], self.model),
            f"{self.operations}.{by_group}": ("", f"each {self.model}"),
            f"{self.operations}.{everywhere}": ("", f"each {self.model}"),
        }

    def make(self, world: World, id: str, body: Json) -> Resource:
        """A resource that is there at once. Raises Refusal."""
        made = Resource(id, self.type, copy.deepcopy(body))
        made.body["location"] = check_location(body.get("location"), self.type)
        check_tags(body.get("tags"))
        made.properties["provisioningState"] = "Succeeded"
        self.prepare(world, made)
        return world.put(made)

    def _put(self, world: World, request: Request) -> Answer:
        known = world.find(request.id)
        location = check_location(request.body.get("location"), self.type)
        if known is not None and known.body["location"] != location:
            why = f"The resource '{known.name}' already exists in location '{known.body['location']}' in resource group. A resource with the same name cannot be created in location '{location}'."
            raise Refusal("InvalidResourceLocation", why)
        body = copy.deepcopy(request.body)
        if known is not None:
            kept = {name: known.properties[name] for name in self.lasting if name in known.properties}
            body["properties"] = {**body.get("properties", {}), **kept}
        made = self.make(world, known.id if known else request.id, body)
        final = "Succeeded" if not (request.fault and request.fault.later) else "Failed"
        made.properties["provisioningState"] = "Updating"

        def effect() -> None:
            made.properties["provisioningState"] = final

        operation = operations.begin(world, request, location, effect, effect)
        answer = made.view()
        return operations.answered(world, request, operation, status=200 if known else self.created, body=answer)

    def _delete(self, world: World, request: Request) -> Answer:
        found = world.find(request.id)
        if found is None:
            return Answer(204)
        self.keeps(world, found)

        def effect() -> None:
            self.frees(world, found)
            world.drop(found.id)

        operation = operations.begin(world, request, found.body["location"], effect)
        return operations.answered(world, request, operation, status=202)

    def _tag(self, world: World, request: Request) -> Answer:
        found = world.get(request.id, self.type)
        if name := next((name for name in request.body if name != "tags"), ""):
            raise Refusal("PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed.", target=name)
        check_tags(request.body.get("tags"))
        found.body["tags"] = request.body.get("tags") or {}
        return Answer(200, found.view())

    def _list(self, world: World, prefix: str) -> Answer:
        return Answer(200, {"value": [each.view() for each in world.listed(self.type, f"{prefix}/")]})


def missing_reference(id: str, by: str) -> Refusal:
    why = f"Resource {id} referenced by resource {by} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region."
    return Refusal("InvalidResourceReference", why)
