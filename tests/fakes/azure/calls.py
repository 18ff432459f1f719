"""One request to Resource Manager as it comes over the wire, and how it says no.

https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/common-deployment-errors
"""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
Json = dict[str, Any]
# https://learn.microsoft.com/en-us/rest/api/azure/ (the status that goes with a code, where it isn't 400)
STATUS = {
    **dict.fromkeys(("AuthenticationFailed", "InvalidAuthenticationToken", "ExpiredAuthenticationToken"), 401),
    **dict.fromkeys(("InvalidAuthenticationTokenTenant", "InvalidAuthenticationTokenAudience"), 401),
    **dict.fromkeys(("AuthorizationFailed", "LinkedAuthorizationFailed", "RequestDisallowedByPolicy"), 403),
    **dict.fromkeys(("ResourceNotFound", "ResourceGroupNotFound", "NotFound", "InvalidResourceType"), 404),
    **dict.fromkeys(("SubscriptionNotFound", "ParentResourceNotFound", "PlatformImageNotFound"), 404),
    **dict.fromkeys(("InvalidResourceNamespace", "RoleAssignmentNotFound", "RoleDefinitionDoesNotExist"), 404),
    **dict.fromkeys(("SkuNotAvailable", "AllocationFailed", "ZonalAllocationFailed", "OperationNotAllowed"), 409),
    **dict.fromkeys(("OverconstrainedAllocationRequest", "OverconstrainedZonalAllocationRequest"), 409),
    **dict.fromkeys(("QuotaExceeded", "MissingSubscriptionRegistration", "ReadOnlyDisabledSubscription"), 409),
    **dict.fromkeys(("ResourceGroupBeingDeleted", "RoleAssignmentExists", "InvalidResourceGroupLocation"), 409),
    **dict.fromkeys(("SpotPriceGreaterThanProvidedMaxPrice", "Conflict", "PropertyChangeNotAllowed"), 409),
    **dict.fromkeys(
        ("InvalidResourceLocation", "RoleDefinitionWithSameNameExists", "AttachDiskWhileBeingDetached"), 409
    ),
    **dict.fromkeys(("PreconditionFailed",), 412),
    **dict.fromkeys(("TooManyRequests", "SubscriptionRequestsThrottled", "OperationsThrottled"), 429),
    **dict.fromkeys(("InternalServerError", "InternalExecutionError", "InternalOperationError"), 500),
    **dict.fromkeys(("ServerTimeout", "ServiceUnavailable"), 503),
    **dict.fromkeys(("MethodNotAllowed",), 405),
}


@dataclass(frozen=True)
class Call:
    """`body` is the JSON document, None for an empty one."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    base: str

    @property
    def token(self) -> str:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token if kind.lower() == "bearer" else ""


@dataclass(frozen=True)
class Answer:
    """`body` None: none at all."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """Raised where a request is refused; an answer with an error of Resource Manager's shape."""

    def __init__(
        self, code: str, message: str, *, status: int = 0, target: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        error = {"code": code, "message": message, **({"target": target} if target else {})}
        self.code = code
        self.answer = Answer(status or STATUS.get(code, 400), {"error": error}, headers or {})


def read_call(environ: Environ) -> Call:
    """Raises Refusal for a body that isn't JSON."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    raw = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(raw)
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    try:
        body = json.loads(raw) if raw else None
    except ValueError as wrong:
        why = f"The request content was invalid and could not be deserialized: '{wrong}'."
        raise Refusal("InvalidRequestContent", why) from None
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    base = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}"
    return Call(str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"]), query, headers, body, base)


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    body = b"" if answer.body is None else json.dumps(answer.body).encode()
    headers = {
        **({"Content-Type": "application/json; charset=utf-8"} if body else {}),
        **{"Content-Length": str(len(body)), "x-ms-request-id": str(uuid.uuid4()), "Cache-Control": "no-cache"},
        **answer.headers,
    }
    start_response(f"{answer.status} {'OK' if answer.status < 400 else 'Refused'}", list(headers.items()))
    return [] if answer.status == 204 else [body]
