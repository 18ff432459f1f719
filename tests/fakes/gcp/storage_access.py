"""Whether an object may be used: by a token, by one that is limited to prefixes, or by a signed URL.

https://cloud.google.com/storage/docs/access-control/iam-permissions, https://cloud.google.com/storage/docs/authentication/signatures
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from tests.fakes.gcp import conditions
from tests.fakes.gcp.calls import Caller
from tests.fakes.gcp.policies import ROLES, granted
from tests.fakes.gcp.wire import Request

if TYPE_CHECKING:
    from tests.fakes.gcp.world import World

GOOGLE = "storage.googleapis.com"
SIGNED, ALGORITHM = "X-Goog-Algorithm", "GOOG4-RSA-SHA256"
SCOPES = {
    "read": {"https://www.googleapis.com/auth/devstorage.read_only"},
    "any": {
        "https://www.googleapis.com/auth/cloud-platform",
        "https://www.googleapis.com/auth/devstorage.full_control",
        "https://www.googleapis.com/auth/devstorage.read_write",
    },
}
READS = ("storage.objects.get", "storage.objects.list")


class Denied(Exception):
    """`status` 401 for who isn't known, else 403."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Wish:
    """`prefix` is that of a listing; of an object its `key`."""

    permission: str
    bucket: str
    key: str = ""
    prefix: str = ""

    @property
    def facts(self) -> dict[str, str]:
        bucket = f"projects/_/buckets/{self.bucket}"
        if not self.key:
            known = {"resource.name": bucket, "resource.type": "storage.googleapis.com/Bucket"}
            return {**known, "storage.googleapis.com/objectListPrefix": self.prefix}
        return {"resource.name": f"{bucket}/objects/{self.key}", "resource.type": "storage.googleapis.com/Object"}


def require(world: World, caller: Caller, wish: Wish) -> None:
    """Raises Denied."""
    thing = "object" if wish.key else "bucket"
    denied = Denied(f"{caller.email} does not have {wish.permission} access to the Google Cloud Storage {thing}.")
    scopes = SCOPES["any"] | (SCOPES["read"] if wish.permission in READS else set())
    if not caller.scopes & scopes:
        raise Denied("Insufficient OAuth2 scope to perform this operation.")
    if not world.policies.allows(caller.email, wish.permission, wish.facts, wish.bucket):
        raise denied
    if caller.boundary and not any(_lets(rule, wish) for rule in caller.boundary):
        raise denied


def _lets(rule: Mapping[str, object], wish: Wish) -> bool:
    if rule["availableResource"] != f"//storage.googleapis.com/projects/_/buckets/{wish.bucket}":
        return False
    roles = [str(each).removeprefix("inRole:") for each in rule["availablePermissions"]]  # type: ignore[attr-defined]
    if not any(granted(wish.permission, ROLES.get(role, ())) for role in roles):
        return False
    condition = rule.get("availabilityCondition")
    return condition is None or conditions.parse(condition["expression"])(wish.facts)  # type: ignore[index]


def signer(world: World, request: Request) -> Caller:
    """Whose signed URL this is. Raises Denied. https://cloud.google.com/storage/docs/authentication/canonical-requests"""
    query = request.query
    account, _, scope = query.get("X-Goog-Credential", "").partition("/")
    began = query.get("X-Goog-Date", "")
    try:
        start = datetime.datetime.strptime(began, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        end = start + datetime.timedelta(seconds=int(query.get("X-Goog-Expires", "")))
        signature = bytes.fromhex(query.get("X-Goog-Signature", ""))
    except ValueError:
        raise Denied("The signed URL is malformed.", 400) from None
    if datetime.datetime.now(datetime.timezone.utc) >= end:
        raise Denied("Invalid argument: ExpiredToken. The provided token has expired.", 400)
    # clients sign the name of Google's own host, wherever they go
    hosts = (GOOGLE, request.headers.get("host", ""))
    digests = [hashlib.sha256(_canonical(request, host).encode()).hexdigest() for host in hosts]
    texts = ["\n".join((ALGORITHM, began, scope, digest)).encode() for digest in digests]
    if query[SIGNED] != ALGORITHM or not any(world.accounts.signed(account, signature, text) for text in texts):
        raise Denied("Access denied: SignatureDoesNotMatch.")
    return Caller(account, frozenset(SCOPES["any"]))


def _canonical(request: Request, host: str) -> str:
    parts = urlsplit(request.target)
    pairs = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "X-Goog-Signature"]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(pairs))
    names = request.query.get("X-Goog-SignedHeaders", "").split(";")
    known = {**request.headers, "host": host}
    headers = "".join(f"{name}:{known.get(name, '').strip()}\n" for name in names)
    return "\n".join((request.verb, parts.path, query, headers, ";".join(names), "UNSIGNED-PAYLOAD"))
