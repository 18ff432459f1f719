"""Confidential values at rest: encrypted with a key that lies beside the database in a file of mode 0600."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from dstack_cloud import errors
from dstack_cloud.domain.jobs import Confidential


class Sealer:
    """Fernet (AES-128-CBC with HMAC-SHA256), from `cryptography`."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    def seal(self, values: Confidential) -> bytes:
        return self._fernet.encrypt(values.model_dump_json().encode())

    def open(self, sealed: bytes) -> Confidential:
        """Raises ConfigurationError where the key isn't the one that sealed it."""
        if not sealed:
            return Confidential()
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
        file.write(Fernet.generate_key())
    return Sealer(path.read_bytes())
