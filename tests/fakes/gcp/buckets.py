"""Buckets of Cloud Storage as its JSON API tells of them: what they are called, and who may use them.

https://cloud.google.com/storage/docs/json_api/v1/buckets. Objects are `storage`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from tests.fakes.gcp.calls import Call, Handler
from tests.fakes.gcp.places import NUMBER
from tests.fakes.gcp.policies import Policy
from tests.fakes.gcp.wire import Json, Refusal

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World


class Shelves(Protocol):
    """Where what is in buckets lies."""

    def make(self, bucket: str) -> None: ...
    def remove(self, bucket: str) -> None:
        """Raises Refusal for one that isn't empty."""
        ...


class Buckets:
    def __init__(self, world: World) -> None:
        self._world = world

    def handlers(self) -> Mapping[str, Handler]:
        known: Mapping[str, Handler] = {
            "insert": self._insert, "get": self._get, "list": self._list, "delete": self._delete,
            "getIamPolicy": self._get_policy, "setIamPolicy": self._set_policy, "testIamPermissions": self._test,
        }  # fmt: skip
        return {f"storage.buckets.{name}": handler for name, handler in known.items()}

    def _bucket(self, call: Call, permission: str) -> str:
        """Its name. Who may not see it isn't told whether there is one."""
        name = call.arguments["bucket"]
        if not self._may(call, permission, name):
            raise Refusal(
                403,
                f"{call.caller.email} does not have {permission} access to the Google Cloud Storage bucket. "
                f"Permission '{permission}' denied on resource (or it may not exist).",
                "forbidden",
            )
        if name not in self._world.buckets:
            raise Refusal(404, "The specified bucket does not exist.", "notFound")
        return name

    def _may(self, call: Call, permission: str, name: str) -> bool:
        facts = {"resource.name": f"projects/_/buckets/{name}", "resource.type": "storage.googleapis.com/Bucket"}
        return self._world.policies.allows(call.caller.email, permission, facts, name)

    def _insert(self, call: Call) -> Json:
        name = call.body.get("name", "")
        if not self._may(call, "storage.buckets.create", name):
            raise Refusal(403, f"{call.caller.email} does not have storage.buckets.create access.", "forbidden")
        if name in self._world.buckets:
            raise Refusal(
                409, "Your previous request to create the named bucket succeeded and you already own it.", "conflict"
            )
        self._world.make_bucket(name)
        return self._document(name)

    def _get(self, call: Call) -> Json:
        return self._document(self._bucket(call, "storage.buckets.get"))

    def _list(self, call: Call) -> Json:
        return {"kind": "storage#buckets", "items": [self._document(name) for name in sorted(self._world.buckets)]}

    def _delete(self, call: Call) -> Json:
        name = self._bucket(call, "storage.buckets.delete")
        if self._world.shelves is not None:
            self._world.shelves.remove(name)
        self._world.buckets.discard(name)
        return {}

    def _policy(self, name: str) -> Policy:
        return self._world.policies.buckets.setdefault(name, Policy([]))

    def _get_policy(self, call: Call) -> Json:
        name = self._bucket(call, "storage.buckets.getIamPolicy")
        return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{name}", **self._policy(name).document()}

    def _set_policy(self, call: Call) -> Json:
        name = self._bucket(call, "storage.buckets.setIamPolicy")
        self._world.policies.set(self._policy(name), call.body, f"bucket {name}")
        return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{name}", **self._policy(name).document()}

    def _test(self, call: Call) -> Json:
        if call.arguments["bucket"] not in self._world.buckets:
            raise Refusal(404, "The specified bucket does not exist.", "notFound")
        asked = call.arguments.get("permissions", "").split(",")
        had = [each for each in asked if self._may(call, each, call.arguments["bucket"])]
        return {"kind": "storage#testIamPermissionsResponse", **({"permissions": had} if had else {})}

    def _document(self, name: str) -> Json:
        place = {"location": "US-CENTRAL1", "locationType": "region", "storageClass": "STANDARD"}
        times = {"timeCreated": "2025-10-01T09:03:04.567Z", "updated": "2025-10-01T09:03:04.567Z"}
        return {"kind": "storage#bucket", "id": name, "name": name, "projectNumber": NUMBER, **place, **times}
