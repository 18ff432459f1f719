"""Our own key: of any kind that OpenSSH writes, or one that an agent holds."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import paramiko

from dstack_cloud.errors import SshError
from dstack_cloud.ssh.endpoint import Endpoint

KINDS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_HEADER = re.compile(r"-----BEGIN (\w* ?)PRIVATE KEY-----")


class KeyRefused(SshError):
    """Another try gives the same."""

    retryable = False


def load(text: str) -> paramiko.PKey:
    """From an OpenSSH or PEM text, without a passphrase. Raises KeyRefused."""
    if not _HEADER.search(text):
        raise KeyRefused("the client key is no private key", "name the private file, the one without `.pub`")
    for kind in KINDS:
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException as cause:
            raise KeyRefused(
                "the client key is protected by a passphrase",
                "load it into an agent (`ssh-add`) and leave the key out of the configuration, or name another key",
            ) from cause
        except (paramiko.SSHException, ValueError, IndexError):
            continue  # of another kind
    raise KeyRefused(
        "the client key can't be read", "it must be an ed25519, ecdsa or rsa key as `ssh-keygen` writes it"
    )


def authenticate(transport: paramiko.Transport, endpoint: Endpoint, client_key: str) -> None:
    """With `client_key`, or where that is "" with each of the agent's. Raises SshError, and what paramiko raises."""
    if client_key:
        _log_in(transport, endpoint, [load(client_key)])
        return
    agent = paramiko.Agent()
    try:
        keys = list(agent.get_keys())
        if not keys:
            raise KeyRefused(
                f"there is no key for {endpoint.user}@{endpoint.address}: none is configured, and no agent holds one",
                "name a key file in the configuration, or load one with `ssh-add`",
            )
        _log_in(transport, endpoint, keys)
    finally:
        agent.close()


def _log_in(transport: paramiko.Transport, endpoint: Endpoint, keys: Sequence[paramiko.PKey]) -> None:
    for key in keys:
        try:
            transport.auth_publickey(endpoint.user, key)
        except paramiko.AuthenticationException as cause:
            refusal: Exception = cause
        else:
            return
    raise SshError(
        f"{endpoint.address} refuses our key for the user {endpoint.user}",
        f"see that the public key is in ~{endpoint.user}/.ssh/authorized_keys on the machine",
    ) from refusal
