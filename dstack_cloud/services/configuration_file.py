"""config.yaml on the disk: read as a whole, replaced as a whole, and the one before kept beside it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dstack_cloud import errors
from dstack_cloud.domain.configuration import Configuration, Source, parse_configuration

BACKUP = ".bak"
HEADER = """\
# The configuration of dstack. `dstack config` wrote it, and changes in it only what it is asked to: your own lines and comments stay.
# Nothing secret belongs here: credentials stay where each cloud's own tools keep them. docs/reference/configuration.md has all keys.
"""


@dataclass(frozen=True)
class ConfigurationFile:
    """`check` raises ConfigurationError where a server couldn't work with it. `environment` is what overrides the file."""

    path: Path
    check: Callable[[Configuration], None] = lambda configuration: None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    # one change at a time: each reads the file, thinks, and replaces it
    lock: threading.Lock = field(default_factory=threading.Lock)

    def source(self) -> Source | None:
        """None where there is no file. Raises ConfigurationError where it can't be read."""
        try:
            return Source(str(self.path), self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            what = "it isn't UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
            raise errors.ConfigurationError(
                f"{self.path} can't be read: {what}", "make it a readable text file"
            ) from error

    def read(self) -> Configuration:
        return parse_configuration(self.source(), self.environment)

    def replace(self, text: str) -> str:
        """The path of the former file, "" where there was none. Nothing is written where the new text wouldn't do. Raises
        ConfigurationError."""
        self.check(parse_configuration(Source(str(self.path), text), self.environment))
        target = self.path.resolve()  # a link into a repository of such files stays one
        backup = target.with_name(target.name + BACKUP)
        try:
            there = target.exists()
            if there:
                _write(backup, target.read_bytes(), target.stat().st_mode)
            _write(target, text.encode(), target.stat().st_mode if there else 0o600)
        except OSError as error:
            raise errors.ConfigurationError(
                f"{target} can't be written: {error.strerror}", "look at the permissions of the file and its folder"
            ) from error
        return str(backup) if there else ""


def _write(path: Path, data: bytes, mode: int) -> None:
    """There whole, or as it was before."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
