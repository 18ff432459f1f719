"""Confidential values at rest: encrypted with a key that lies beside the database in a file of mode 0600."""

from __future__ import annotations

import base64
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud import errors
from dstack_cloud.domain.jobs import Confidential

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

# a Fernet key: 32 random bytes in URL-safe base64 (https://cryptography.io/en/latest/fernet/)
KEY_BYTES = 32


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

    def open(self, sealed: bytes) -> Confidential:
        """Raises ConfigurationError where the key isn't the one that sealed it."""
        if not sealed:
            return Confidential()
        from cryptography.fernet import InvalidToken

        try:
            return Confidential.model_validate_json(self._fernet.decrypt(sealed))
        except InvalidToken as error:
            raise errors.ConfigurationError(
                "the key in the state folder isn't the one that sealed this job's environment",
                "put the old secret.key back, or run the workflow again",
            ) from error


def load_sealer(path: Path) -> Sealer:
    """The key of this state folder, made on first use."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Sealer(path.read_bytes())
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.urlsafe_b64encode(os.urandom(KEY_BYTES)))
    return Sealer(path.read_bytes())
