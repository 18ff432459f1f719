"""One request to AWS as it comes over the wire: which service, region and operation, and how each protocol says no.

Protocols: https://smithy.io/2.0/aws/protocols/ (ec2Query, awsQuery, awsJson1_1, restXml)
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

# AWS4-HMAC-SHA256 Credential=AKIA…/20260101/eu-west-1/ec2/aws4_request, SignedHeaders=…
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]*)/([^/]+)/aws4_request")
_REQUEST_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Call:
    """`params` are a form's fields, or the top of a JSON document; "" everywhere for a request that nobody signed.

    S3 has no operations on the wire: there it is the HTTP method, and `path` says of what.
    """

    service: str
    region: str
    operation: str
    access_key: str
    path: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    type: str = "text/xml"


def read_call(environ: Environ) -> Call:
    """The body is put back, so that the request can be handed on."""
    found = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    access_key, region, service = found.groups() if found else ("", "", "")
    path = str(environ.get("PATH_INFO", ""))
    if service == "s3":  # its bodies are large, and tell nothing
        return Call(service, region, str(environ["REQUEST_METHOD"]), access_key, path, {})
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    if target := environ.get("HTTP_X_AMZ_TARGET", ""):
        return Call(service, region, target.rpartition(".")[2], access_key, path, json.loads(body or b"{}"))
    params = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    operation = params.pop("Action", "") or str(environ["REQUEST_METHOD"])
    return Call(service, region, operation, access_key, path, params)


def refusal(call: Call, code: str, message: str, status: int) -> Answer:
    """An error as the call's service says it."""
    if call.service == "ec2":
        body = f"<Response><Errors>{_error(code, message)}</Errors><RequestID>{_REQUEST_ID}</RequestID></Response>"
    elif call.service == "s3":
        return Answer(status, f"{_XML}{_error(code, message)}".encode(), "application/xml")
    elif call.service in ("iam", "sts"):
        body = f"<ErrorResponse>{_error(code, message)}<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>"
    else:
        return as_json({"__type": code, "message": message}, status)
    return Answer(status, f"{_XML}{body}".encode())


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), "application/x-amz-json-1.1")


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    headers = [("Content-Type", answer.type), ("Content-Length", str(len(answer.body)))]
    start_response(f"{answer.status} {'OK' if answer.status < 400 else 'Refused'}", headers)
    return [answer.body]


def asked(app: App, environ: Environ) -> Answer:
    """What another WSGI application answers, whole."""
    head: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
        head["status"], head["headers"] = status, {name.lower(): value for name, value in headers}

    body = b"".join(app(environ, start_response))
    return Answer(int(head["status"].split()[0]), body, head["headers"].get("content-type", "text/xml"))


_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def _error(code: str, message: str) -> str:
    return f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
