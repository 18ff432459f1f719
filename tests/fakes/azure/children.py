"""Resources that are parts of another one's document, with requests of their own: a network's subnets, a group's rules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.azure import operations
from tests.fakes.azure.arm import Handler, Request
from tests.fakes.azure.calls import Answer, Json, Refusal
from tests.fakes.azure.kinds import Kind
from tests.fakes.azure.world import Resource, World


@dataclass(frozen=True)
class Child:
    """`list` is the property of its parent that holds it, and the last word but one of its path."""

    parent: Kind
    operations: str
    list: str
    model: str
    prepare: Callable[[Resource, Json], None]
    keeps: Callable[[World, Resource, Json], None]

    def handlers(self) -> dict[str, Handler]:
        return {
            f"{self.operations}.create_or_update": self._put,
            f"{self.operations}.get": self._get,
            f"{self.operations}.delete": self._delete,
            f"{self.operations}.list": self._all,
        }

    def models(self) -> dict[str, tuple[str, str]]:
        return {
            f"{self.operations}.create_or_update": (self.model, self.model),
            f"{self.operations}.get": ("", self.model),
            f"{self.operations}.list": ("", f"each {self.model}"),
        }

    def _within(self, world: World, request: Request) -> tuple[Resource, str]:
        """Its parent, and its own name. Raises Refusal."""
        parts = request.id.split("/")
        found = world.find("/".join(parts[:9]))
        if found is None:
            raise Refusal(
                "ParentResourceNotFound",
                f"Can not perform requested operation on nested resource. Parent resource '{parts[8]}' not found.",
            )
        return found, parts[10] if len(parts) > 10 else ""

    def _find(self, parent: Resource, name: str) -> Json | None:
        known = parent.properties.setdefault(self.list, [])
        return next((each for each in known if each["name"].lower() == name.lower()), None)

    def _view(self, parent: Resource, child: Json) -> Json:
        id = f"{parent.id}/{self.list}/{child['name']}"
        return {**copy.deepcopy(child), "id": id, "type": f"{parent.type}/{self.list}", "etag": parent.body["etag"]}

    def _get(self, world: World, request: Request) -> Answer:
        parent, name = self._within(world, request)
        found = self._find(parent, name)
        if found is None:
            raise Refusal("NotFound", f"Resource {request.id} not found.")
        return Answer(200, self._view(parent, found))

    def _all(self, world: World, request: Request) -> Answer:
        parent, _ = self._within(world, request)
        return Answer(200, {"value": [self._view(parent, each) for each in parent.properties.get(self.list, [])]})

    def _put(self, world: World, request: Request) -> Answer:
        parent, name = self._within(world, request)
        before = self._find(parent, name)
        changed = copy.deepcopy(parent)
        rest = [each for each in changed.properties[self.list] if each["name"].lower() != name.lower()]
        changed.properties[self.list] = [*rest, {**copy.deepcopy(request.body), "name": name}]
        # the parent's own rules hold for the whole: no two rules of one priority, no subnet outside
        self.parent.prepare(world, changed)
        parent.body = changed.body
        found = self._find(parent, name)
        assert found
        operation = operations.begin(world, request, parent.body["location"])
        status = 201 if before is None else 200
        return operations.answered(world, request, operation, status=status, body=self._view(parent, found))

    def _delete(self, world: World, request: Request) -> Answer:
        parent, name = self._within(world, request)
        found = self._find(parent, name)
        if found is None:
            return Answer(204)
        self.keeps(world, parent, found)
        operation = operations.begin(
            world, request, parent.body["location"], lambda: parent.properties[self.list].remove(found)
        )
        return operations.answered(world, request, operation, status=202)
