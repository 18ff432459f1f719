"""Where a run's source came from, as Git says, and what lets jobs reach a private remote."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dstack_cloud.errors import UsageError

Kind = Literal["key", "token"]

# user@host:path, as scp writes it
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>\[[^\]]+\]|[^/:]+):(?P<path>.*)", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]+))?")
_SSH = ("ssh", "git+ssh", "ssh+git")
_WITH_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<login>[^/]*)@)?(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class GitState:
    """`remote` is a URL without credentials, "" where there is none; `branch` "" for a detached head; `commit` "" before the
    first; `dirty`: something of the tree wasn't committed."""

    remote: str
    branch: str
    commit: str
    dirty: bool


def without_credentials(url: str) -> str:
    """A user's name stays where SSH needs it, a password never; over HTTP the name may be a token."""
    match = _WITH_SCHEME.fullmatch(url)
    if match is None:
        return url
    user = (match["login"] or "").partition(":")[0]
    kept = f"{user}@" if user and match["scheme"].lower() in _SSH else ""
    return f"{match['scheme']}://{kept}{match['rest']}"


@dataclass(frozen=True)
class Server:
    """Where a remote is: `scheme` is ssh, https or http; `port` 0: the usual one."""

    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port else "")

    @property
    def kind(self) -> Kind:
        return "key" if self.scheme == "ssh" else "token"


def server_of(remote: str) -> Server:
    """Raises UsageError for what isn't reached by SSH or HTTP."""
    match = _WITH_SCHEME.fullmatch(remote)
    if match is None:
        scp = _SCP.fullmatch(remote)
        scheme, place = "ssh", "" if scp is None else scp["host"]
    else:
        scheme, place = match["scheme"].lower(), match["rest"].partition("/")[0]
    host = _HOST.fullmatch(place)
    scheme = "ssh" if scheme in _SSH else scheme
    if host is None or scheme not in ("ssh", "https", "http"):
        raise UsageError(
            f"`{without_credentials(remote)}` is no remote that a job could reach",
            "name one of ssh, https or http with --remote",
        )
    return Server(scheme, host["host"].strip("[]") if scheme == "ssh" else host["host"], int(host["port"] or 0))


@dataclass(frozen=True)
class Credential:
    """`remote` is a URL without credentials; `sealed` holds `Login` as JSON, encrypted; `updated_at` is UTC seconds."""

    project: str
    remote: str
    sealed: bytes
    updated_at: float

    @property
    def title(self) -> str:
        return f"the credential for {self.remote}"

    @property
    def renewal(self) -> str:
        return "give it again with `dstack init`"


@dataclass(frozen=True)
class Login:
    """`secret` is a private key or a token; `known_hosts` are the lines that say which host keys the server may show."""

    secret: str
    username: str = ""
    known_hosts: str = ""
