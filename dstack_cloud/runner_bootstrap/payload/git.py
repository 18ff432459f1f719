"""Lets Git inside a job reach private remotes: keys in files that only the job can read, tokens in its environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

Login = Mapping[str, str]

ASKPASS = """\
#!/bin/sh
# Git asks for a name and a password; each server gets its own and no other.
case $1 in
{cases}esac
"""
CASE = """\
"Username for '{origin}'"*|"Username for '{origin}/"*) printf '%s\\n' {username} ;;
"Password for '{login}'"*|"Password for '{login}/"*) printf '%s\\n' "${variable}" ;;
"""


def environment(logins: Sequence[Login], place: str) -> dict[str, str]:
    """`place` is the folder of `write`, as the job sees it."""
    found = {"GIT_TERMINAL_PROMPT": "0"} if logins else {}
    if any("key" in login for login in logins):
        found["GIT_SSH_COMMAND"] = f"ssh -F {shlex.quote(f'{place}/ssh_config')}"
    if any("variable" in login for login in logins):
        found["GIT_ASKPASS"] = f"{place}/askpass"
    return found


def write(logins: Sequence[Login], folder: Path, place: str, *, shared: bool) -> None:
    """`shared`: for a user of the container who isn't this one; the folder around it is private."""
    if not logins:
        return
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755 if shared else 0o700)
    keys = [login for login in logins if "key" in login]
    mode = 0o644 if shared else 0o600
    for number, login in enumerate(keys):
        _put(folder / f"key-{number}", login["key"].rstrip("\n") + "\n", mode)
        _put(folder / f"known_hosts-{number}", login["known_hosts"], mode)
    _put(folder / "ssh_config", "".join(_host(login, number, place) for number, login in enumerate(keys)), mode)
    cases = "".join(_case(login) for login in logins if "variable" in login)
    _put(folder / "askpass", ASKPASS.format(cases=cases), mode | 0o111 if shared else 0o700)


def _host(login: Login, number: int, place: str) -> str:
    return (
        f"Host {login['host']}\n"
        f'  IdentityFile "{place}/key-{number}"\n'
        "  IdentitiesOnly yes\n"
        f'  UserKnownHostsFile "{place}/known_hosts-{number}"\n'
        "  StrictHostKeyChecking yes\n"
    )


def _case(login: Login) -> str:
    scheme, _, rest = login["origin"].partition("://")
    named = f"{scheme}://*@{rest}"
    # the star must stand outside of the quotes
    before, _, after = named.partition("*")
    return CASE.format(
        origin=login["origin"], login=f"{before}\"*\"{after}", username=shlex.quote(login["username"]),
        variable=login["variable"],
    )  # fmt: skip


def _put(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
