"""What stands between the wire and what the services do: who asks, which method, whether the request is right, and faults.

Nothing is answered either that the service's description doesn't know: then the emulation is wrong, and says so.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import replace

from tests.fakes.gcp import policies, prices
from tests.fakes.gcp.buckets import Buckets
from tests.fakes.gcp.calls import Call, Handler, facts
from tests.fakes.gcp.description import Method, Service, service
from tests.fakes.gcp.geography import Geography
from tests.fakes.gcp.iam import SERVICES as TITLES
from tests.fakes.gcp.iam import Iam
from tests.fakes.gcp.images import handlers as image_handlers
from tests.fakes.gcp.instances import Instances
from tests.fakes.gcp.network import Networks
from tests.fakes.gcp.places import NUMBER, PROJECT
from tests.fakes.gcp.shapes import Shapes
from tests.fakes.gcp.wire import Answer, Json, Refusal, Request, as_json
from tests.fakes.gcp.world import World

SERVICES = (
    "compute.v1", "cloudbilling.v1", "iam.v1", "cloudresourcemanager.v1", "cloudresourcemanager.v3", "serviceusage.v1", "storage.v1",
)  # fmt: skip
# which are not asked whether their API is enabled
ALWAYS = ("serviceusage.googleapis.com", "storage.googleapis.com")
NO_METHOD = "The requested URL {} was not found on this server."
NOT_EMULATED = "{} isn't emulated."
NOT_ENABLED = (
    "{title} has not been used in project {number} before or it is disabled. Enable it by visiting "
    "https://console.developers.google.com/apis/api/{host}/overview?project={number} then retry. If you enabled this API recently, "
    "wait a few minutes for the action to propagate to our systems and retry."
)
NOT_PAID = (
    "This API method requires billing to be enabled. Please enable billing on project #{number} by visiting "
    "https://console.developers.google.com/billing/enable?project={number} then retry."
)
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
            **Iam(world).handlers(),
            **Buckets(world).handlers(),
            **image_handlers(),
            **prices.handlers(),
        }
        # answers that were found to be right: a catalogue is long, and never another
        self._right: set[tuple[str, int]] = set()
        self._tokens = {
            "/token": ("oauth2.token", world.accounts.token),
            "/v1/token": ("sts.exchange", world.accounts.exchange),
        }

    def __call__(self, request: Request) -> Answer | None:
        try:
            if request.path in self._tokens:
                name, given = self._tokens[request.path]
                with self._world.lock:
                    self._world.calls[name] += 1
                return given(request)
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
            return self._checked(found, method, call)
        if fault.inside and method.response == "Operation":
            return self._checked(found, method, replace(call, fault=fault))
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

    def _checked(self, found: Service, method: Method, call: Call) -> Answer:
        """The answer to a call that is right in all its parts, and is right itself."""
        self._check_enabled(found.host)
        policies.within(call.caller, method.scopes)
        method.check(call.arguments)
        if call.arguments.get("project", PROJECT) != PROJECT and not call.id.startswith("compute.images."):
            raise Refusal(404, f"The resource 'projects/{call.project}' was not found", "notFound")
        if call.arguments.get("zone") in self._world.settings.unreachable:
            raise Refusal(
                503, f"The zone '{call.arguments['zone']}' could not be reached. Please try again.", "backendError"
            )
        shapes = Shapes(found.schemas, method)
        if method.request:
            call = replace(call, body=shapes.read(call.body))
        if method.id not in self._handlers:
            raise Refusal(501, NOT_EMULATED.format(method.id), "notImplemented")
        if method.id.endswith("Operations.wait"):
            self._world.await_operation(call.path.removesuffix("/wait"))
        with self._world.lock:
            self._world.settle()
            if call.id.startswith("compute."):
                self._world.policies.require(call)
            answer = as_json(self._once(call))
        digest = method.id, hash(answer.body)
        if method.response and digest not in self._right:
            if problems := shapes.problems_of(json.loads(answer.body)):
                wrong = f"the emulation answers {method.id} wrongly: {'; '.join(problems[:3])}"
                raise Refusal(500, wrong, "internalError")
            self._right.add(digest)
        return answer

    def _check_enabled(self, host: str) -> None:
        """Raises Refusal. https://cloud.google.com/service-usage/docs/enabled-service and .../billing/docs/how-to/modify-project"""
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "googleapis.com"}
        about = {"metadata": {"service": host, "consumer": f"projects/{NUMBER}"}}
        if host in self._world.settings.disabled and host not in ALWAYS:
            message = NOT_ENABLED.format(title=TITLES[host], number=NUMBER, host=host)
            raise Refusal(
                403, message, "accessNotConfigured", details=({**info, **about, "reason": "SERVICE_DISABLED"},)
            )
        if host == "compute.googleapis.com" and not self._world.settings.billing:
            message = NOT_PAID.format(number=NUMBER)
            raise Refusal(403, message, "billingNotEnabled", details=({**info, **about, "reason": "BILLING_DISABLED"},))

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
