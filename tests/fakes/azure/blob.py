"""Blob storage as Entra ID's tokens open it: a thin front before Azurite, which takes tokens over TLS only, and knows no roles.

A request with a bearer token is checked here and handed on with a signature of the account's; any other is handed on as it is.
https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-azure-active-directory
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import re
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urlsplit

from tests.fakes.azure import directory
from tests.fakes.azure.azurite import ACCOUNT, KEY
from tests.fakes.azure.calls import App, Environ, StartResponse
from tests.fakes.azure.directory import STORAGE
from tests.fakes.azure.world import SUBSCRIPTION_ID, Resource, World

GROUP = f"{SUBSCRIPTION_ID}/resourceGroups/storage"
STORAGE_ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
DATA = "Microsoft.Storage/storageAccounts/blobServices/containers"
VERSION = "2022-11-02"
ANSWER_SECONDS = 60
# the only POST is a batch, and the only batches are of deletions
ACTIONS = {"GET": "read", "HEAD": "read", "PUT": "write", "POST": "delete", "DELETE": "delete"}
BOUNDARY = "batchresponse_of_the_front"
# between two machines only, or said anew here
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Refused(Exception):
    """A code of Blob storage's, and its status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Blob:
    """A WSGI application: the account's paths, and everything else to `app`. `url` is Azurite's."""

    def __init__(self, app: App, world: World, url: str) -> None:
        self._app, self._world, self._azurite = app, world, urlsplit(url)
        self._signature = signature()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if path.split("/")[1:2] != [ACCOUNT]:
            return self._app(environ, start_response)
        action = f"blobs.{ACTIONS.get(str(environ['REQUEST_METHOD']), 'write')}"
        self._world.calls[action] += 1
        try:
            fault = self._world.faults.take(action, {"name": path})
            if fault and fault.code:
                raise Refused(fault.http_status, fault.code, fault.message or fault.code)
            signed = self._check(environ, path)
        except Refused as refused:
            return _refuse(refused, start_response)
        return self._pass(environ, start_response, signed)

    def _check(self, environ: Environ, path: str) -> bool:
        """Whether it has a good token. Raises Refused for a bad one, and for one of somebody who may not do that."""
        kind, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        if kind.lower() != "bearer":
            return False
        try:
            claims = directory.claims(token)
            principal, good = str(claims["oid"]), float(claims["exp"]) > time.time()
            good = good and str(claims["aud"]).rstrip("/") == STORAGE
        except (ValueError, KeyError, TypeError):
            principal, good = "", False
        with self._world.lock:
            known = self._world.directory.by_id(principal)
            if known is None or not good:
                why = "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
                raise Refused(401, "InvalidAuthenticationInfo", why)
            container = path.split("/")[2:3]
            scope = f"{STORAGE_ACCOUNT}/blobServices/default/containers/{container[0] if container else ''}"
            query, method = environ.get("QUERY_STRING", ""), environ["REQUEST_METHOD"]
            of_container = "restype=container" in query and "comp=" not in query
            action = f"{DATA}{'' if of_container else '/blobs'}/{ACTIONS.get(method, 'write')}"
            if not self._world.directory.may(known, action, scope, data=True):
                why = "This request is not authorized to perform this operation using this permission."
                raise Refused(403, "AuthorizationPermissionMismatch", why)
        return True

    def _pass(self, environ: Environ, start_response: StartResponse, signed: bool) -> list[bytes]:
        url = str(environ["RAW_URI"])
        if signed:
            url += f"{'&' if '?' in url else '?'}{self._signature}"
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if signed and "comp=batch" in environ.get("QUERY_STRING", ""):
            return self._batch(body, start_response)
        answer, text = self._ask(environ["REQUEST_METHOD"], url, body, _headers(environ, signed, len(body)))
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP]
        length = answer.getheader("Content-Length") if environ["REQUEST_METHOD"] == "HEAD" else str(len(text))
        start_response(f"{answer.status} {answer.reason}", [*headers, ("Content-Length", length or "0")])
        return [text]

    def _ask(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(str(self._azurite.hostname), self._azurite.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(method, url, body, dict(headers))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _batch(self, body: bytes, start_response: StartResponse) -> list[bytes]:
        """Its deletions one by one: Azurite fails where the parts of a batch aren't signed with its key.

        https://learn.microsoft.com/en-us/rest/api/storageservices/blob-batch
        """
        parts = []
        for number, url in enumerate(re.findall(rb"(?m)^DELETE (\S+) HTTP/1\.1", body)):
            signed = f"{url.decode()}{'&' if b'?' in url else '?'}{self._signature}"
            answer, text = self._ask("DELETE", signed, b"", {"x-ms-version": VERSION})
            told = "".join(f"{name}: {value}\r\n" for name, value in answer.getheaders() if name.lower() not in HOP)
            head = f"--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
            status = f"HTTP/1.1 {answer.status} {answer.reason}\r\n{told}Content-Length: {len(text)}\r\n\r\n"
            parts.append(f"{head}{status}".encode() + text + b"\r\n")
        whole = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
        headers = [("Content-Type", f"multipart/mixed; boundary={BOUNDARY}"), ("Content-Length", str(len(whole)))]
        start_response("202 Accepted", headers)
        return [whole]


def account() -> Resource:
    """The storage account as a resource: it exists before anything is made."""
    body = {"location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}}
    return Resource(STORAGE_ACCOUNT, "Microsoft.Storage/storageAccounts", body)


def signature() -> str:
    """Of the account, for everything. https://learn.microsoft.com/en-us/rest/api/storageservices/create-account-sas"""
    fields = {
        "sp": "rwdlacupiytfx",
        "ss": "b",
        "srt": "sco",
        "st": "",
        "se": "2099-01-01T00:00:00Z",
        "sip": "",
        "spr": "",
    }
    text = "\n".join((ACCOUNT, *fields.values(), VERSION, "", ""))
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    known = {name: value for name, value in fields.items() if value}
    return urlencode({**known, "sv": VERSION, "sig": base64.b64encode(digest).decode()})


def _headers(environ: Environ, signed: bool, length: int) -> Mapping[str, str]:
    found = {name[5:].replace("_", "-"): str(value) for name, value in environ.items() if name.startswith("HTTP_")}
    dropped = HOP | ({"authorization"} if signed else set())
    kept = {name: value for name, value in found.items() if name.lower() not in dropped}
    kind = str(environ.get("CONTENT_TYPE") or "")
    return {**kept, **({"Content-Type": kind} if kind else {}), "Content-Length": str(length)}


def _refuse(refused: Refused, start_response: StartResponse) -> list[bytes]:
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{refused.code}</Code><Message>{refused}</Message></Error>'
    )
    headers = [
        ("Content-Type", "application/xml"),
        ("Content-Length", str(len(text))),
        ("x-ms-error-code", refused.code),
    ]
    start_response(f"{refused.status} Refused", headers)
    return [text.encode()]
