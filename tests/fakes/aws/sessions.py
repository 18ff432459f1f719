"""Credentials that are lent with a policy of their own: what they may do in S3, which moto doesn't ask.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session and, for what each request needs,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html under "Permissions".
"""

from __future__ import annotations

import io
import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.fakes.aws.calls import Answer, Call, Environ, refusal

LENDING = ("GetFederationToken", "AssumeRole")
_KEY_ID = re.compile(rb"<AccessKeyId>([^<]+)</AccessKeyId>")
_DELETED = re.compile(r"<Key>([^<]*)</Key>")

# an action, what it is done to, and the prefix that a listing is limited to
Wish = tuple[str, str, str]


class Sessions:
    """Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statements: dict[str, list[dict[str, Any]]] = {}

    def learn(self, call: Call, answer: Answer) -> Answer:
        """The answer of whoever lends, with keys that nobody else has: moto gives the same to all."""
        if call.operation not in LENDING or "Policy" not in call.params or answer.status >= 400:
            return answer
        key = f"ASIA{secrets.token_hex(8).upper()}"
        with self._lock:
            self._statements[key] = json.loads(call.params["Policy"])["Statement"]
        return replace(answer, body=_KEY_ID.sub(f"<AccessKeyId>{key}</AccessKeyId>".encode(), answer.body))

    def denial(self, call: Call, environ: Environ) -> Answer | None:
        """None: it may, or it is somebody's who was lent nothing."""
        with self._lock:
            statements = self._statements.get(call.access_key)
        if statements is None:
            return None
        for action, resource, prefix in _wishes(call, environ):
            if not any(_allows(each, action, resource, prefix) for each in statements):
                why = f"User is not authorized to perform: {action} on {resource}: no session policy allows it"
                return refusal(call, "AccessDenied", why, 403)
        return None


def _wishes(call: Call, environ: Environ) -> Iterator[Wish]:
    """Of a request to S3; anything else is none of lent credentials' business."""
    if call.service != "s3":
        yield f"{call.service}:{call.operation}", "*", ""
        return
    query = dict(parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True))
    bucket, _, key = call.path.lstrip("/").partition("/")
    place = f"arn:aws:s3:::{bucket}"
    if not key:
        yield from _of_bucket(call, environ, query, place)
        return
    if source := environ.get("HTTP_X_AMZ_COPY_SOURCE"):
        yield "s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}", ""
    verbs = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject"}
    deletes = "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    yield f"s3:{verbs.get(call.operation, deletes)}", f"{place}/{key}", ""


def _of_bucket(call: Call, environ: Environ, query: dict[str, str], place: str) -> Iterator[Wish]:
    if call.operation == "POST" and "delete" in query:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        for key in _DELETED.findall(body.decode()):
            yield "s3:DeleteObject", f"{place}/{key}", ""
    elif call.operation in ("GET", "HEAD"):
        yield "s3:ListBucket", place, query.get("prefix", "")
    else:
        yield "s3:CreateBucket", place, ""


def _allows(statement: dict[str, Any], action: str, resource: str, prefix: str) -> bool:
    condition = statement.get("Condition", {})
    if unknown := set(condition) - {"StringLike"} | set(condition.get("StringLike", {})) - {"s3:prefix"}:
        raise ValueError(f"{unknown} isn't emulated")
    prefixes = condition.get("StringLike", {}).get("s3:prefix")
    return (
        statement["Effect"] == "Allow"
        and any(_matches(each, action) for each in _several(statement["Action"]))
        and any(_matches(each, resource) for each in _several(statement["Resource"]))
        and (prefixes is None or any(_matches(each, prefix) for each in _several(prefixes)))
    )


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _matches(pattern: str, text: str) -> bool:
    """`*` and `?` are wildcards, `${*}` and `${?}` are themselves:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars"""
    parts = re.split(r"(\$\{[*?$]\}|[*?])", pattern)
    wild = {"*": ".*", "?": "."}
    regex = "".join(
        wild.get(each, re.escape(each[2:-1] if each.startswith("${") and each.endswith("}") else each))
        for each in parts
    )
    return re.fullmatch(regex, text, re.DOTALL) is not None
