"""Long-running operations as headers tell of them: accepted at once, asked for until they end, and some end badly with HTTP 200.

https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.fakes.azure.arm import Request, Service
from tests.fakes.azure.calls import STATUS, Answer, Json, Refusal
from tests.fakes.azure.world import ALWAYS, SUBSCRIPTION, Operation, World


def begin(
    world: World,
    request: Request,
    location: str,
    effect: Callable[[], None] | None = None,
    setback: Callable[[], None] | None = None,
) -> Operation:
    """`effect` happens when it ends well, `setback` when a fault makes it end badly."""
    operation = world.begin(request.match.route.namespace, location, effect)
    operation.setback = setback
    fault = request.fault
    if fault and fault.later:
        operation.failure = fault.code, fault.message or fault.code
    operation.stuck = bool(fault and fault.stuck)
    return operation


def answered(world: World, request: Request, operation: Operation, *, status: int, body: Json | None = None) -> Answer:
    """201 and 200 have the resource as their body; 202 has none, and another header that can be followed."""
    version = request.call.query["api-version"]
    if operation.namespace == ALWAYS:
        path = f"/subscriptions/{SUBSCRIPTION}/operationresults/{operation.id}"
        headers = {"Location": f"{request.call.base}{path}?api-version={version}"}
    else:
        path = f"/subscriptions/{SUBSCRIPTION}/providers/{operation.namespace}/locations/{operation.location}"
        url = f"{request.call.base}{path}/operations/{operation.id}?api-version={version}"
        headers = {"Azure-AsyncOperation": url}
        if status == 202:
            headers["Location"] = f"{url}&monitor=true"
    return Answer(status, body, {**headers, "Retry-After": str(world.settings.retry_after)})


def _get(world: World, request: Request) -> Answer:
    operation = _find(world, request)
    if request.call.query.get("monitor") == "true":
        return _result(world, request)
    found: Json = {"startTime": iso(operation.started), "name": operation.id, "status": "InProgress"}
    if not operation.ended:
        return Answer(200, found, {"Retry-After": str(world.settings.retry_after)})
    found |= {"status": "Failed" if operation.failure else "Succeeded", "endTime": iso(time.time())}
    if operation.failure:
        code, message = operation.failure
        found["error"] = {"code": code, "message": message}
    return Answer(200, found)


def _result(world: World, request: Request) -> Answer:
    operation = _find(world, request)
    if not operation.ended:
        headers = {"Location": _url(request), "Retry-After": str(world.settings.retry_after)}
        return Answer(202, None, headers)
    if operation.failure:
        code, message = operation.failure
        raise Refusal(code, message, status=STATUS.get(code, 409))
    return Answer(200)


def _url(request: Request) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.call.query.items())
    return f"{request.call.base}{request.call.path}?{query}"


def _find(world: World, request: Request) -> Operation:
    found = world.operations.get(request.params["operationId"])
    if found is None:
        why = f"The entity was not found in this Azure location: operation '{request.params['operationId']}'."
        raise Refusal("NotFound", why)
    return found


def iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(moment))


SERVICE = Service({"operations.get": _get, "operations.result": _result}, {})
