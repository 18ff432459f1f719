"""What stands between the wire and what the services do: who asks, which method, whether the request is right, and faults.

Nothing is answered either that the service's description doesn't know: then the emulation is wrong, and says so.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import replace

from tests.fakes.gcp.calls import Call, Handler, facts
from tests.fakes.gcp.description import Method, Service, service
from tests.fakes.gcp.geography import Geography
from tests.fakes.gcp.images import handlers as image_handlers
from tests.fakes.gcp.instances import Instances
from tests.fakes.gcp.networks import Networks
from tests.fakes.gcp.places import PROJECT
from tests.fakes.gcp.shapes import Shapes
from tests.fakes.gcp.wire import Answer, Json, Refusal, Request, as_json
from tests.fakes.gcp.world import World

SERVICES = ("compute.v1",)
NO_METHOD = "The requested URL {} was not found on this server."
NOT_EMULATED = "{} isn't emulated."
NO_UUID = "Must be a valid UUID other than zero."
REUSED = "It was used for another request."


class Front:
    """An application of `wire`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._services = [service(name) for name in SERVICES]
        self._handlers: dict[str, Handler] = {
            **Instances(world).handlers(),
            **Networks(world).handlers(),
            **Geography(world).handlers(),
            **image_handlers(world),
        }
        self._tokens = {"/token": world.accounts.token, "/v1/token": world.accounts.exchange}

    def __call__(self, request: Request) -> Answer | None:
        try:
            if request.path in self._tokens:
                return self._tokens[request.path](request)
            return self._answer(request)
        except Refusal as refused:
            return refused.answer()

    def _answer(self, request: Request) -> Answer | None:
        found, method, in_path = self._find(request)
        caller = self._world.accounts.caller(request.headers)
        arguments = {**in_path, **request.query}
        body = _json(request.body)
        call = Call(method.id, request.path.removeprefix(found.path), arguments, body, caller)
        with self._world.lock:
            self._world.calls[method.id] += 1
        fault = self._world.faults.take(method.id, caller.email, facts(call))
        threading.Event().wait(fault.delay if fault else 0)
        if fault is None or not (fault.code or fault.cut or fault.never):
            return as_json(self._checked(found, method, call))
        if fault.inside and method.response == "Operation":
            return as_json(self._checked(found, method, replace(call, fault=fault)))
        if fault.after:
            self._checked(found, method, call)  # whatever the answer is, nobody will read it
        if fault.cut:
            return None
        raise fault.refusal()

    def _find(self, request: Request) -> tuple[Service, Method, Mapping[str, str]]:
        for each in self._services:
            if found := each.find(request.verb, request.path):
                return each, *found
        raise Refusal(404, NO_METHOD.format(request.path), "notFound")

    def _checked(self, found: Service, method: Method, call: Call) -> Json:
        """The answer to a call that is right in all its parts, and is right itself."""
        method.check(call.arguments)
        if call.arguments.get("project", PROJECT) != PROJECT and not call.id.startswith("compute.images."):
            raise Refusal(404, f"The resource 'projects/{call.project}' was not found", "notFound")
        shapes = Shapes(found.schemas, method)
        if method.request:
            call = replace(call, body=shapes.read(call.body))
        if method.id not in self._handlers:
            raise Refusal(501, NOT_EMULATED.format(method.id), "notImplemented")
        if method.id.endswith("Operations.wait"):
            self._world.await_operation(call.path.removesuffix("/wait"))
        with self._world.lock:
            self._world.settle()
            answer = copy.deepcopy(self._once(call))
        if problems := shapes.problems_of(answer) if method.response else []:
            raise Refusal(500, f"the emulation answers {method.id} wrongly: {'; '.join(problems[:3])}", "internalError")
        return answer

    def _once(self, call: Call) -> Json:
        """What was asked for with the same `requestId` before is answered with the operation that it began then.

        https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert, `requestId`
        """
        id = call.arguments.get("requestId")
        if id is None:
            return self._handlers[call.id](call)
        if not _is_uuid(id):
            raise Refusal(400, f"Invalid value for field 'requestId': '{id}'. {NO_UUID}")
        asked = hashlib.sha256(json.dumps([call.id, call.path, call.body], sort_keys=True).encode()).hexdigest()
        before, operation = self._world.requests.get(id, ("", {}))
        if before and before != asked:
            raise Refusal(400, f"Invalid value for field 'requestId': '{id}'. {REUSED}")
        if not before:
            operation = self._handlers[call.id](call)
            self._world.requests[id] = asked, operation
        return operation


def _json(body: bytes) -> Json:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise Refusal(400, "Invalid JSON payload received. Unexpected token.", "parseError") from None
    if not isinstance(found, dict):
        raise Refusal(
            400, 'Invalid JSON payload received. Unknown name "": Root element must be a message.', "badRequest"
        )
    return found


def _is_uuid(text: str) -> bool:
    try:
        return uuid.UUID(text).int != 0 and len(text) == 36
    except ValueError:
        return False
