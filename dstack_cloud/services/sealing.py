"""Confidential values at rest: encrypted with a key that lies beside the database in a file of mode 0600, or that the environment
has."""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud import errors
from dstack_cloud.domain.git import Credential
from dstack_cloud.domain.jobs import Confidential
from dstack_cloud.domain.secrets import Secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

# a Fernet key: 32 random bytes in URL-safe base64 (https://cryptography.io/en/latest/fernet/)
KEY_BYTES = 32
KEY_VARIABLE = "DSTACK_SECRETS_KEY"


class Sealer:
    """Fernet (AES-128-CBC with HMAC-SHA256), from `cryptography`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @cached_property
    def _fernet(self) -> Fernet:
        # loaded when the first run is submitted, not when the server starts
        from cryptography.fernet import Fernet

        return Fernet(self._key)

    def seal(self, values: Confidential) -> bytes:
        return self._fernet.encrypt(values.model_dump_json().encode())

    def keyed(self, data: bytes) -> str:
        """A hash that only who has the key can make: of values that are to be compared and not told."""
        return hmac.digest(self._key, b"compare\0" + data, "sha256").hex()[:32]

    def open(self, sealed: bytes) -> Confidential:
        """Raises ConfigurationError where the key isn't the one that sealed it."""
        if not sealed:
            return Confidential()
        return Confidential.model_validate_json(
            self._opened(sealed, "this job's environment", "run the workflow again")
        )

    def seal_secret(self, value: str) -> bytes:
        return self._fernet.encrypt(value.encode())

    def open_secret(self, secret: Secret | Credential) -> str:
        """Raises ConfigurationError where the key isn't the one that sealed it."""
        return self._opened(secret.sealed, secret.title, secret.renewal).decode()

    def _opened(self, sealed: bytes, what: str, otherwise: str) -> bytes:
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken as error:
            raise errors.ConfigurationError(
                f"the server's key isn't the one that sealed {what}",
                f"put the old one back (secret.key in the state folder, or {KEY_VARIABLE}), or {otherwise}",
            ) from error


def load_sealer(path: Path, given: str = "") -> Sealer:
    """With the key `given`, which KEY_VARIABLE holds, else that of this state folder, made on first use. Raises
    ConfigurationError for something else than a key."""
    if given:
        if not _is_key(given.encode()):
            raise errors.ConfigurationError(
                f"{KEY_VARIABLE} isn't a key", f"{KEY_BYTES} random bytes in base64: `openssl rand -base64 {KEY_BYTES}`"
            )
        return Sealer(given.encode())
    if not path.exists():
        write_once(path, base64.urlsafe_b64encode(os.urandom(KEY_BYTES)))
    try:
        key = path.read_bytes()
    except OSError as error:
        raise errors.ConfigurationError(
            f"{path} can't be read: {error.strerror}", "make it readable for you"
        ) from error
    if not _is_key(key):
        raise errors.ConfigurationError(
            f"{path} isn't a key", "put the old one back; without it, remove the file, and what it sealed is lost"
        )
    return Sealer(key)


def _is_key(text: bytes) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text)) == KEY_BYTES
    except ValueError:
        return False


def write_once(path: Path, data: bytes) -> None:
    """A file of mode 0600 that is there whole or not at all; one that is there already stays."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(part, path)
    part.unlink()
