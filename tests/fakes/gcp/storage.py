"""Cloud Storage's XML API: a thin front that translates to and from the S3 server behind it.

https://cloud.google.com/storage/docs/xml-api/reference-methods; what differs from S3: generations and their preconditions
(https://cloud.google.com/storage/docs/request-preconditions), names of headers, a delete of what isn't there, who may what.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.fakes.gcp import storage_access
from tests.fakes.gcp.calls import Caller
from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.s3 import S3
from tests.fakes.gcp.storage_access import SIGNED, Denied, Wish
from tests.fakes.gcp.wire import Answer, Refusal, Request

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

IF_MATCH, GENERATION, COPY = "x-goog-if-generation-match", "x-goog-generation", "x-goog-copy-source"
# what is understood, by what it is
LISTING = {"list-type", "prefix", "delimiter", "continuation-token", "start-after", "max-keys", "encoding-type"}
PARTS = {"uploads", "uploadId", "partNumber"}
HELD = "At least one of the pre-conditions you specified did not hold."
_FORWARDED = (
    *(
        "content-type",
        "content-md5",
        "content-encoding",
        "content-disposition",
        "content-language",
        "cache-control",
        "range",
    ),
    *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
)
_CODES = {
    400: "InvalidArgument",
    401: "AuthenticationRequired",
    403: "AccessDenied",
    412: "PreconditionFailed",
    429: "SlowDown",
}
_CODES |= {404: "NoSuchKey", 500: "InternalError", 501: "NotImplemented", 503: "ServiceUnavailable"}


@dataclass(frozen=True)
class _Task:
    """One request. `method` is as faults and counts know it: "storage.objects.insert"."""

    request: Request
    method: str
    bucket: str
    key: str

    @property
    def name(self) -> tuple[str, str]:
        return self.bucket, self.key


class Storage:
    """An application of `wire`."""

    def __init__(self, world: World, s3: S3) -> None:
        self._world, self._s3 = world, s3
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
        # of each object that was seen: its generation, and the ETag that it had then
        self._seen: dict[tuple[str, str], tuple[int, str]] = {}
        self._next = itertools.count(time.time_ns() // 1000)

    def __call__(self, request: Request) -> Answer | None:
        bucket, _, key = request.path.lstrip("/").partition("/")
        try:
            task = _Task(request, _method(request, key), bucket, key)
            with self._world.lock:
                self._world.calls[task.method] += 1
            caller = self._caller(request)
            fault = self._world.faults.take(task.method, caller.email, {"bucket": bucket, "key": key})
            return self._answer(task, caller, fault)
        except Denied as denied:
            return refused(denied.status, str(denied))
        except Refusal as error:
            return refused(error.status, error.message)

    def _caller(self, request: Request) -> Caller:
        if SIGNED in request.query:
            return storage_access.signer(self._world, request)
        if "authorization" not in request.headers:
            raise Denied("Anonymous caller does not have access to the Google Cloud Storage object.", 401)
        return self._world.accounts.caller(request.headers)

    def _answer(self, task: _Task, caller: Caller, fault: Fault | None) -> Answer | None:
        threading.Event().wait(fault.delay if fault else 0)
        if fault is None or not (fault.code or fault.cut):
            return self._done(task, caller)
        if fault.after:
            self._done(task, caller)  # whatever the answer is, nobody will read it
        return None if fault.cut else refused(fault.http_status, fault.message or fault.code)

    def _done(self, task: _Task, caller: Caller) -> Answer:
        if task.bucket not in self._world.buckets:
            return refused(404, "The specified bucket does not exist.", "NoSuchBucket")
        for wish in self._wishes(task):
            with self._world.lock:
                storage_access.require(self._world, caller, wish)
        kinds = {"list": self._list, "get": self._get, "insert": self._put, "copy": self._copy, "delete": self._delete}
        return kinds.get(task.method.rpartition(".")[2], self._in_parts)(task)

    def _wishes(self, task: _Task) -> list[Wish]:
        verb, query = task.method.rpartition(".")[2], task.request.query
        if verb == "list":
            return [Wish("storage.objects.list", task.bucket, prefix=query.get("prefix", ""))]
        if verb in ("get", "delete"):
            return [Wish(f"storage.objects.{verb}", task.bucket, task.key)]
        if verb == "abort":
            return [Wish("storage.multipartUploads.abort", task.bucket, task.key)]
        wishes = [Wish("storage.objects.create", task.bucket, task.key)]
        if verb in ("begin", "part", "complete"):
            wishes.append(Wish("storage.multipartUploads.create", task.bucket, task.key))
        if verb in ("insert", "copy", "complete") and self._generation(task):
            # what is there is replaced: https://cloud.google.com/storage/docs/access-control/iam-xml
            wishes.append(Wish("storage.objects.delete", task.bucket, task.key))
        if verb == "copy":
            bucket, _, key = _source(task.request).partition("/")
            wishes.append(Wish("storage.objects.get", bucket, key))
        return wishes

    # -- what is asked for -----------------------------------------------------------------------------------------------

    def _list(self, task: _Task) -> Answer:
        if unknown := set(task.request.query) - LISTING - _signing(task.request):
            return refused(400, f"Invalid query parameter(s): {sorted(unknown)}")
        return self._s3.ask("GET", task.bucket, "", query=_without_signature(task.request))

    def _get(self, task: _Task) -> Answer:
        wanted = task.request.query.get("generation")
        answer = self._s3.ask(task.request.verb, task.bucket, task.key, headers=_headers(task.request))
        if answer.status >= 400:
            return answer
        generation = self._generation_of(task, answer.headers.get("ETag", ""))
        if wanted is not None and wanted != str(generation):
            return refused(404, "The specified key does not exist.")
        return _with_generation(answer, generation)

    def _put(self, task: _Task) -> Answer:
        with self._locks[task.name]:
            if failed := self._fails(task):
                return failed
            headers, before = _headers(task.request), self._seen.get(task.name)
            if task.request.headers.get(IF_MATCH) == "0":
                headers["If-None-Match"] = "*"
            elif IF_MATCH in task.request.headers and before:
                headers["If-Match"] = before[1]
            answer = self._s3.ask("PUT", task.bucket, task.key, headers=headers, body=task.request.body)
            return self._written(task, answer)

    def _copy(self, task: _Task) -> Answer:
        with self._locks[task.name]:
            if failed := self._fails(task):
                return failed
            headers = {"x-amz-copy-source": f"/{_source(task.request)}"}
            answer = self._s3.ask("PUT", task.bucket, task.key, headers=headers)
            return self._written(task, answer)

    def _delete(self, task: _Task) -> Answer:
        with self._locks[task.name]:
            if failed := self._fails(task):
                return failed
            if not self._generation(task):
                return refused(404, "The specified key does not exist.")
            self._seen.pop(task.name, None)
            return self._s3.ask("DELETE", task.bucket, task.key)

    def _in_parts(self, task: _Task) -> Answer:
        query, verb = _without_signature(task.request), task.request.verb
        if unknown := set(query) - PARTS:
            return refused(400, f"Invalid query parameter(s): {sorted(unknown)}")
        with self._locks[task.name]:
            completes = task.method.endswith(".complete")
            if completes and (failed := self._fails(task)):
                return failed
            headers = _headers(task.request)
            answer = self._s3.ask(verb, task.bucket, task.key, query=query, headers=headers, body=task.request.body)
            return self._written(task, answer) if completes else answer

    # -- generations -----------------------------------------------------------------------------------------------------

    def _fails(self, task: _Task) -> Answer | None:
        wanted = task.request.headers.get(IF_MATCH)
        if wanted is None:
            return None
        if not wanted.isdigit():
            return refused(400, f"Invalid argument: {IF_MATCH}: {wanted}")
        return None if self._generation(task) == int(wanted) else refused(412, HELD)

    def _generation(self, task: _Task) -> int:
        """As the S3 server has it now; 0 of what isn't there."""
        found = self._s3.ask("HEAD", task.bucket, task.key)
        return self._note(task, found.headers.get("ETag", "")) if found.status < 400 else 0

    def _generation_of(self, task: _Task, etag: str) -> int:
        """Of an answer that was read while others may have written."""
        known = self._seen.get(task.name)
        if known and known[1] == etag:
            return known[0]
        with self._locks[task.name]:
            now = self._generation(task)
            return now if self._seen.get(task.name, (0, ""))[1] == etag else next(self._next)

    def _note(self, task: _Task, etag: str) -> int:
        known = self._seen.get(task.name)
        if known is None or known[1] != etag:
            self._seen[task.name] = known = next(self._next), etag
        return known[0]

    def _written(self, task: _Task, answer: Answer) -> Answer:
        if answer.status >= 400:
            return answer
        self._seen.pop(task.name, None)  # the same content again is another generation, too
        return _with_generation(answer, self._generation(task))


def _method(request: Request, key: str) -> str:
    """Raises Refusal."""
    query = request.query
    if request.verb == "GET" and not key:
        return "storage.objects.list"
    known = {
        "GET": "get", "HEAD": "get", "DELETE": "abort" if "uploadId" in query else "delete",
        "PUT": "part" if "partNumber" in query else "copy" if COPY in request.headers else "insert",
        "POST": "begin" if "uploads" in query else "complete" if "uploadId" in query else "",
    }  # fmt: skip
    if not key or not known.get(request.verb):
        raise Refusal(501, f"{request.verb} {request.target} isn't emulated.")
    return f"storage.objects.{known[request.verb]}"


def _headers(request: Request) -> dict[str, str]:
    known = {name: value for name, value in request.headers.items() if name in _FORWARDED}
    meta = {name: value for name, value in request.headers.items() if name.startswith("x-goog-meta-")}
    return known | {name.replace("x-goog-", "x-amz-", 1): value for name, value in meta.items()}


def _source(request: Request) -> str:
    """`bucket/key`, not quoted."""
    return unquote(request.headers[COPY]).lstrip("/")


def _signing(request: Request) -> set[str]:
    return {name for name in request.query if name.startswith("X-Goog-")}


def _without_signature(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.query.items() if not name.startswith("X-Goog-")}


def _with_generation(answer: Answer, generation: int) -> Answer:
    more = {GENERATION: str(generation), "x-goog-metageneration": "1"}
    return Answer(answer.status, answer.body, {**answer.headers, **more})


def refused(status: int, message: str, code: str = "") -> Answer:
    """https://cloud.google.com/storage/docs/xml-api/reference-status"""
    code = code or _CODES.get(status, "InternalError")
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Answer(status, f"<?xml version='1.0' encoding='UTF-8'?>{body}".encode(), {"Content-Type": "application/xml"})
