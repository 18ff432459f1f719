"""Who may ask for what: the tenant's principals with their secrets, tokens, and the roles that were assigned.

A token is a JWT with a signature that nobody checks; the words in it are those that Entra ID's have:
https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
"""

from __future__ import annotations

import base64
import fnmatch
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

TENANT = "7e7a7e7a-0000-4000-8000-00000000beef"
CLIENT, SECRET = "c11e27c1-0000-4000-8000-00000000cafe", "an-emulated-secret"
MANAGEMENT, STORAGE = "https://management.azure.com", "https://storage.azure.com"
BUILT_IN = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": ("Owner", ["*"], []),
    "b24988ac-6180-42a0-ab88-20f7382dd24c": (
        "Contributor",
        ["*"],
        ["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write"],
    ),
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": ("Reader", ["*/read"], []),
}
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers"
# roles about data: an owner of a subscription has none of their rights
DATA_ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": ("Storage Blob Data Owner", [f"{_BLOBS}/*", f"{_BLOBS}/blobs/*"]),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": ("Storage Blob Data Contributor", [f"{_BLOBS}/blobs/*"]),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": ("Storage Blob Data Reader", [f"{_BLOBS}/blobs/read"]),
}


@dataclass(frozen=True)
class Principal:
    """`id` is its object id in the tenant, `client` that of its application. `secret` is "" for a managed identity."""

    id: str
    client: str
    secret: str = ""
    since: float = 0.0


@dataclass(frozen=True)
class Role:
    """`name` is a GUID, `title` what people call it. `scopes` are those where it can be assigned, () for Azure's own roles."""

    name: str
    title: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    data: tuple[str, ...] = ()

    def allows(self, action: str, *, data: bool = False) -> bool:
        """`data`: an action on data, which are a list of their own."""

        def hits(patterns: tuple[str, ...]) -> bool:
            return any(fnmatch.fnmatch(action.lower(), pattern.lower()) for pattern in patterns)

        return hits(self.data) if data else hits(self.actions) and not hits(self.not_actions)


@dataclass(frozen=True)
class Assignment:
    """`from_`: the monotonic second when it takes effect."""

    principal: str
    role: str
    scope: str
    from_: float


@dataclass
class Directory:
    """`principals` by client id; `roles` by name; `assignments` by the id of the resource."""

    principals: dict[str, Principal] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    assignments: dict[str, Assignment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (title, actions, not_actions) in BUILT_IN.items():
            self.roles[name] = Role(name, title, tuple(actions), tuple(not_actions))
        for name, (title, actions) in DATA_ROLES.items():
            self.roles[name] = Role(name, title, (), data=tuple(actions))
        owner = self.add(CLIENT, SECRET)
        for roles in (BUILT_IN, DATA_ROLES):
            first = next(iter(roles))
            self.assignments[f"owner-{first}"] = Assignment(owner.id, first, "/", 0.0)

    def add(self, client: str = "", secret: str = "") -> Principal:
        """A new one, without any right."""
        found = Principal(str(uuid.uuid4()), client or str(uuid.uuid4()), secret, time.monotonic())
        self.principals[found.client] = found
        return found

    def by_id(self, id: str) -> Principal | None:
        return next((each for each in self.principals.values() if each.id == id), None)

    def may(self, principal: Principal, action: str, scope: str, *, data: bool = False) -> bool:
        """By an assignment at the scope or above that has taken effect."""
        return any(role.allows(action, data=data) for role in self.roles_at(principal, scope))

    def roles_at(self, principal: Principal, scope: str) -> list[Role]:
        now, below = time.monotonic(), f"{scope.lower().rstrip('/')}/"
        held = (each for each in self.assignments.values() if each.principal == principal.id and now >= each.from_)
        there = (each for each in held if below.startswith(f"{each.scope.lower().rstrip('/')}/"))
        return [self.roles[each.role] for each in there if each.role in self.roles]


def token(principal: Principal, audience: str, seconds: float) -> str:
    now = int(time.time())
    claims = {
        **{"aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", "tid": TENANT, "ver": "1.0"},
        **{"iat": now - 5, "nbf": now - 5, "exp": int(now + seconds)},
        **{"oid": principal.id, "sub": principal.id, "appid": principal.client},
    }
    head = {"alg": "RS256", "typ": "JWT"}
    return ".".join((_encoded(json.dumps(head)), _encoded(json.dumps(claims)), _encoded("unsigned")))


def claims(text: str) -> dict[str, Any]:
    """Those of a token. Raises ValueError."""
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("not a token of three parts")
    found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(found, dict):
        raise ValueError("no claims")
    return found


def _encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
