"""Resource Manager: what every request goes through before a service answers it, in the order in which Azure refuses.

https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/azure-services-resource-providers
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from tests.fakes.azure import directory, rights
from tests.fakes.azure.calls import Answer, Call, Environ, Json, Refusal, StartResponse, read_call, send
from tests.fakes.azure.description import REQUEST, RESPONSE, Complaint, complaints
from tests.fakes.azure.directory import MANAGEMENT, TENANT, Principal
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.routes import Match, Routes
from tests.fakes.azure.world import ALWAYS, SUBSCRIPTION, World

AUDIENCES = {
    MANAGEMENT,
    f"{MANAGEMENT}/",
    "https://management.core.windows.net",
    "https://management.core.windows.net/",
}
# the request's own: {name of an operation: (model of its body, model of its answer, or of each element of a list)}
Models = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """One that may be answered. `fault` is one that befalls the operation later."""

    call: Call
    match: Match
    caller: Principal
    fault: Fault | None = None

    @property
    def id(self) -> str:
        """Of the resource that it is about."""
        return self.call.path.rstrip("/")

    @property
    def body(self) -> Json:
        """Raises Refusal where there is none."""
        if not isinstance(self.call.body, dict):
            raise Refusal("InvalidRequestContent", "The request content was invalid and could not be deserialized.")
        return self.call.body

    @property
    def params(self) -> Mapping[str, str]:
        return self.match.params

    @property
    def group(self) -> str:
        """The prefix of everything in its resource group."""
        return "/".join(self.id.split("/")[:5])


Handler = Callable[[World, Request], Answer]


@dataclass(frozen=True)
class Service:
    """Handlers and models by operation. `facts` is what a fault may be matched with beside what every request has."""

    handlers: Mapping[str, Handler]
    models: Models
    facts: Callable[[World, Request], Mapping[str, str]] | None = None


class Arm:
    """A WSGI application."""

    def __init__(self, world: World, services: Iterable[Service]) -> None:
        self._world, self._routes = world, Routes()
        self._by_operation = {name: service for service in services for name in service.handlers}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            call = read_call(environ)
            request = self._understood(call)
        except Refusal as refused:
            return send(refused.answer, start_response)
        facts = self._facts(request)
        fault = self._world.faults.take(request.match.route.operation, facts)
        if fault is None:
            return send(self._answer(request), start_response)
        threading.Event().wait(fault.delay)
        if fault.later or fault.stuck or not (fault.code or fault.cut):
            return send(self._answer(Request(call, request.match, request.caller, fault)), start_response)
        if fault.after:
            # whatever the answer was, nobody will read it
            self._answer(request)
        if fault.cut:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        wait = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
        refusal = Refusal(fault.code, fault.message or fault.code, status=fault.status, headers=wait)
        return send(refusal.answer, start_response)

    def _understood(self, call: Call) -> Request:
        """Raises Refusal for a request without a good token, of no known path or version."""
        match = self._routes.find(call.method, call.path)
        name = match.route.operation if match else "unknown"
        with self._world.lock:
            self._world.calls[name] += 1
        caller = self._caller(call)
        if match is None:
            raise _no_route(call, self._routes.methods(call.path))
        _check_version(call, match)
        _check_query(call, match)
        return Request(call, match, caller)

    def _caller(self, call: Call) -> Principal:
        """Raises Refusal. https://learn.microsoft.com/en-us/rest/api/azure/#create-the-request"""
        challenge = {"WWW-Authenticate": f'Bearer authorization_uri="https://login.microsoftonline.com/{TENANT}"'}
        if not call.token:
            raise Refusal(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
                headers=challenge,
            )
        try:
            claims = directory.claims(call.token)
            found = self._world.directory.by_id(str(claims["oid"]))
            expires, tenant, audience = float(claims["exp"]), claims["tid"], claims["aud"]
        except (ValueError, KeyError, TypeError):
            raise Refusal("InvalidAuthenticationToken", "The access token is invalid.", headers=challenge) from None
        if expires <= time.time():
            when = time.strftime("%m/%d/%Y %I:%M:%S %p", time.gmtime(expires))
            why = f"The access token expiry UTC time '{when}' is earlier than current UTC time."
            raise Refusal("ExpiredAuthenticationToken", why, headers=challenge)
        if tenant != TENANT:
            why = f"The access token is from the wrong issuer 'https://sts.windows.net/{tenant}/'."
            raise Refusal("InvalidAuthenticationTokenTenant", why, headers=challenge)
        if audience not in AUDIENCES:
            why = f"The access token has been obtained for wrong audience or resource '{audience}'."
            raise Refusal("InvalidAuthenticationTokenAudience", why, headers=challenge)
        if found is None:
            raise Refusal(
                "InvalidAuthenticationToken", "The access token's principal doesn't exist.", headers=challenge
            )
        return found

    def _check_rights(self, request: Request) -> None:
        """Raises Refusal."""
        scope = f"/{request.params.get('scope', request.id).lstrip('/')}"
        rights.check(self._world, request.match, request.call.method, request.caller, scope)
        if request.call.method in ("PUT", "PATCH") and request.match.route.namespace != "Microsoft.Authorization":
            rights.check_linked(self._world, request.caller, scope, rights.mentioned(request.call.body))

    def _facts(self, request: Request) -> Mapping[str, str]:
        params = request.params
        known = {
            "name": request.id.rpartition("/")[2],
            "group": params.get("resourceGroupName", ""),
            "client": request.caller.client,
            "region": params.get("location", ""),
        }
        body = request.call.body
        if isinstance(body, dict) and isinstance(body.get("location"), str):
            known["region"] = body["location"]
        service = self._by_operation.get(request.match.route.operation)
        with self._world.lock:
            return {**known, **(service.facts(self._world, request) if service and service.facts else {})}

    def _answer(self, request: Request) -> Answer:
        operation = request.match.route.operation
        service = self._by_operation.get(operation)
        with self._world.lock:
            self._world.settle()
            try:
                self._check_rights(request)
                if service is None:
                    raise Refusal("NotImplemented", f"the emulated Azure has no {operation}", status=501)
                asked, told = service.models.get(operation, ("", ""))
                _check_place(self._world, request)
                if asked:
                    _check_body(request, asked)
                answer = service.handlers[operation](self._world, request)
            except Refusal as refused:
                return refused.answer
            most = self._world.settings.page
        return _checked(_page(answer, request.call, most), told, operation)


def _no_route(call: Call, methods: set[str]) -> Refusal:
    parts = call.path.strip("/").split("/")
    if methods:
        why = f"The requested resource does not support http method '{call.method}'."
        return Refusal("MethodNotAllowed", why, headers={"Allow": ", ".join(sorted(methods))})
    if "providers" not in (part.lower() for part in parts):
        return Refusal(
            "InvalidRequestUri", f"No HTTP resource was found that matches the request URI '{call.path}'.", status=404
        )
    at = [part.lower() for part in parts].index("providers")
    namespace, kind = [*parts[at + 1 :], "", ""][:2]
    if not namespace.lower().startswith("microsoft."):
        return Refusal("InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    why = f"The resource type '{kind}' could not be found in the namespace '{namespace}'."
    return Refusal("InvalidResourceType", f"{why[:-1]} for api version '{call.query.get('api-version', '')}'.")


def _check_version(call: Call, match: Match) -> None:
    asked, known = call.query.get("api-version"), match.route.versions
    if not asked:
        why = "The api-version query parameter (?api-version=) is required for all requests."
        raise Refusal("MissingApiVersionParameter", why)
    if known and asked not in known:
        kind = match.route.template.rpartition("/providers/")[2].split("/")
        supported = ",".join(sorted(known, reverse=True))
        why = f"The resource type '{kind[1] if len(kind) > 1 else kind[0]}' could not be found in the namespace '{match.route.namespace}' for api version '{asked}'. The supported api-versions are '{supported}'."
        raise Refusal("InvalidResourceType", why)


def _check_query(call: Call, match: Match) -> None:
    """Raises Refusal. A page's link has a parameter of its own, wherever there are pages."""
    known = {"api-version", *match.route.query, *(("$skiptoken",) if call.method == "GET" else ())}
    if unknown := sorted(set(call.query) - known):
        why = f"The query parameter '{unknown[0]}' is not supported by '{match.route.operation}'."
        raise Refusal("InvalidQueryParameter", why, target=unknown[0])


def _check_place(world: World, request: Request) -> None:
    """Raises Refusal where the subscription, the service's registration or the resource group isn't there."""
    subscription = request.params.get("subscriptionId", SUBSCRIPTION)
    if subscription.lower() != SUBSCRIPTION:
        raise Refusal("SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
    namespace = request.match.route.namespace
    if request.call.method in ("PUT", "PATCH", "POST") and namespace.lower() not in world.registered:
        why = f"The subscription is not registered to use namespace '{namespace}'. See https://aka.ms/rps-not-found for how to register subscriptions."
        raise Refusal("MissingSubscriptionRegistration", why)
    group = request.params.get("resourceGroupName")
    if group and namespace != ALWAYS:
        found = world.find(request.group)
        if found is None:
            raise Refusal("ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        if found.properties["provisioningState"] == "Deleting" and request.call.method in ("PUT", "PATCH"):
            why = f"The resource group '{group}' is in deprovisioning state and cannot perform this operation."
            raise Refusal("ResourceGroupBeingDeleted", why)


def _check_body(request: Request, model: str) -> None:
    """Raises Refusal for the first thing that is wrong."""
    for wrong in complaints(request.body, model, REQUEST):
        raise _complained(wrong, request.match.route.namespace)


def _complained(wrong: Complaint, namespace: str) -> Refusal:
    """Each service says it in its own way."""
    if wrong.why == "read-only":
        return Refusal("PropertyChangeNotAllowed", wrong.message, status=409, target=wrong.path)
    if wrong.why == "missing" and wrong.path == "location":
        return Refusal("LocationRequired", "The location property is required for this definition.")
    if wrong.why == "missing":
        return Refusal("InvalidParameter", wrong.message, target=wrong.path)
    if namespace == "Microsoft.Network":
        refusal = Refusal("InvalidRequestFormat", "Cannot parse the request.")
        refusal.answer.body["error"]["details"] = [{"code": "InvalidJson", "message": wrong.message}]
        return refusal
    if namespace == ALWAYS:
        why = f"The request content was invalid and could not be deserialized: '{wrong.message}'."
        return Refusal("InvalidRequestContent", why)
    return Refusal("BadRequest", wrong.message, target=wrong.path)


def _checked(answer: Answer, model: str, operation: str) -> Answer:
    """An answer that isn't as Azure describes it is this emulation's own mistake, and nobody shall build on it."""
    if not model or answer.status >= 300 or answer.body is None:
        return answer
    found = answer.body.get("value") if isinstance(answer.body, dict) and model.startswith("each ") else answer.body
    for document in found if isinstance(found, list) else [found]:
        for wrong in complaints(document, model.removeprefix("each "), RESPONSE):
            why = f"the emulated Azure answers {operation} wrongly: {wrong.message}"
            return Refusal("EmulationError", why, status=500).answer
    return answer


def _page(answer: Answer, call: Call, most: int) -> Answer:
    """A part of a long list, and the link to what follows."""
    listed = answer.body.get("value") if isinstance(answer.body, dict) else None
    if not isinstance(listed, list):
        return answer
    start = int(call.query.get("$skiptoken", "0"))
    found: Json = {"value": listed[start : start + most]}
    if start + most < len(listed):
        query = urlencode({**call.query, "$skiptoken": str(start + most)})
        found["nextLink"] = f"{call.base}{call.path}?{query}"
    return replace(answer, body=found)
