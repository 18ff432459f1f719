"""Where a machine is reached, and whom it and we trust. Imports no SSH: the server knows these long before it needs one."""

from __future__ import annotations

from dataclasses import dataclass

from dstack_cloud.errors import SshError

# how a host key that is given as its hash begins
FINGERPRINT = "SHA256:"


@dataclass(frozen=True)
class Endpoint:
    """Written as `ssh:USER@HOST:PORT`."""

    user: str
    host: str
    port: int = 22

    def __str__(self) -> str:
        return f"ssh:{self.user}@{self.host}:{self.port}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Raises SshError where it isn't of the form `ssh:USER@HOST:PORT` (an IPv6 host may stand in brackets)."""
    scheme, _, rest = text.partition(":")
    user, _, address = rest.rpartition("@")
    host, _, port = address.rpartition(":")
    if scheme != "ssh" or not user or not host or not port.isdigit():
        raise SshError(f"{text!r} is no SSH endpoint", "write it as ssh:USER@HOST:PORT")
    return Endpoint(user, host.strip("[]"), int(port))


@dataclass(frozen=True)
class Trust:
    """`client_key` is our private key (OpenSSH or PEM text; "": whatever the user's agent holds); `host_keys` are the public lines, or `SHA256:…` fingerprints, any of which
    the machine may show. `jumps` are the machines on the way to it, the nearest to us first."""

    client_key: str
    host_keys: tuple[str, ...]
    jumps: tuple[Jump, ...] = ()

    def __repr__(self) -> str:
        return f"Trust({', '.join(self.host_keys)})"


@dataclass(frozen=True)
class Jump:
    """A machine through which another one is reached. `endpoint` is written like any other."""

    endpoint: str
    trust: Trust
