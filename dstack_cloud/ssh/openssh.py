"""The OpenSSH client, where it is installed, with our keys and nothing of the user's own setup: what it is told is in a file of ours.

It needs whole host keys: a trust that has fingerprints is one that `Connection.shown` has replaced.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from dstack_cloud.ssh.endpoint import FINGERPRINT, Endpoint, Trust, parse_endpoint

# a connection that is silent for three times as many seconds is given up
ALIVE_SECONDS = 6


def program() -> str | None:
    """The client's path; None where there is none."""
    return shutil.which("ssh")


def usable(trust: Trust) -> bool:
    """Whether every host key on the way is a whole one."""
    chain = [trust, *(jump.trust for jump in trust.jumps)]
    return all(each.host_keys and not any(key.startswith(FINGERPRINT) for key in each.host_keys) for each in chain)


def write_hosts(config: Path, names: Sequence[str], endpoint: Endpoint, trust: Trust) -> None:
    """Makes `config`: the `Host` entries for a machine, called by any of `names`, and for those on the way to it. Their keys
    go into files of mode 0600 beside it. Raises OSError."""
    entries, way = [], "none"
    for number, jump in enumerate(trust.jumps, 1):
        name = f"{names[0]}.jump-{number}"
        entries.append(_entry(config.parent, [name], parse_endpoint(jump.endpoint), jump.trust, way))
        # what ProxyJump would do, but that doesn't quote the file's path
        way = shlex.join([program() or "ssh", "-F", _escaped(config), "-W", "[%h]:%p", name])
    entries.append(_entry(config.parent, names, endpoint, trust, way))
    partial = config.with_name(f"{config.name}.partial")
    _write(partial, "\n".join(entries))
    partial.replace(config)  # in one step: `ssh` may be reading it


def _entry(folder: Path, names: Sequence[str], endpoint: Endpoint, trust: Trust, way: str) -> str:
    name = names[0]
    _write(folder / f"{name}.hosts", "".join(f"{name} {' '.join(key.split()[:2])}\n" for key in trust.host_keys))
    lines = [
        f"HostName {endpoint.host}",
        f"Port {endpoint.port}",
        f"User {_quoted(endpoint.user)}",
        f"HostKeyAlias {name}",
        f"UserKnownHostsFile {_quoted(folder / f'{name}.hosts')}",
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "PreferredAuthentications publickey",
        f"ProxyCommand {way}",
        # a user's own entry for all hosts would otherwise join machines that had the same address one after the other
        "ControlPath none",
        "ForwardAgent no",
        f"ServerAliveInterval {ALIVE_SECONDS}",
        "ServerAliveCountMax 3",
        "ConnectTimeout 10",
        # the processor does their work: up to twice as fast as the client's own first choice
        "Ciphers ^aes128-gcm@openssh.com,aes256-gcm@openssh.com",
    ]
    if trust.client_key:
        _write(folder / f"{name}.key", trust.client_key.rstrip("\n") + "\n")
        lines += [f"IdentityFile {_quoted(folder / f'{name}.key')}", "IdentitiesOnly yes", "IdentityAgent none"]
    return "\n".join([f"Host {' '.join(names)}", *(f"    {line}" for line in lines), ""])


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _quoted(value: object) -> str:
    """As ssh_config(5) reads it."""
    return f'"{_escaped(value)}"'


def _escaped(value: object) -> str:
    """With `%` doubled, because it begins a token."""
    return str(value).replace("%", "%%")
