"""The program that copies a job's output to its log with the values of secrets masked. Its own process, see `pump`.

    writer.main() with argv: plain|framed, the descriptor of a pipe that brings {"values": […], "early": hex} and ends

The values come through the pipe, so that neither `ps` nor the disk ever has them.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Iterator

from dstack_cloud.runner_bootstrap.payload.masking import Masking

CHUNK = 2**16
HEADER = 8


class Input:
    """Bytes from a descriptor, behind those that somebody has read already."""

    def __init__(self, source: int, early: bytes) -> None:
        self._source = source
        self._early = early

    def quiet(self, patience: float | None) -> bool:
        """Whether nothing came for so long."""
        return not self._early and not select.select([self._source], [], [], patience)[0]

    def read(self, most: int = CHUNK) -> bytes:
        """b"" at the end."""
        if self._early:
            data, self._early = self._early[:most], self._early[most:]
            return data
        return os.read(self._source, most)

    def exactly(self, size: int) -> bytes:
        """Fewer at the end."""
        data = b""
        while len(data) < size and (more := self.read(size - len(data))):
            data += more
        return data


def main() -> int:
    """To the end in any case, for a program whose output nobody takes stands still. 1: the log couldn't be written to its end."""
    framed, told = sys.argv[1] == "framed", int(sys.argv[2])
    with os.fdopen(told, "rb") as pipe:
        given = json.loads(pipe.read())
    source = Input(0, bytes.fromhex(given["early"]))
    masking = Masking(given["values"])
    status = 0
    for data in _frames(source, masking) if framed else _chunks(source, masking):
        if status == 0:
            status = _write(data)
    return status


def _chunks(source: Input, masking: Masking) -> Iterator[bytes]:
    while True:
        if source.quiet(masking.patience):
            yield masking.flush()
        elif data := source.read():
            yield masking.take(data)
        else:
            break
    yield masking.flush()


def _frames(source: Input, masking: Masking) -> Iterator[bytes]:
    """The engine's: 8 bytes of header (stream, 0, 0, 0, size), then the bytes."""
    while True:
        if source.quiet(masking.patience):
            yield masking.flush()
        elif len(header := source.exactly(HEADER)) == HEADER:
            left = int.from_bytes(header[4:], "big")
            while left and (data := source.read(min(left, CHUNK))):
                left -= len(data)
                yield masking.take(data)
        else:
            break
    yield masking.flush()


def _write(data: bytes) -> int:
    while data:
        try:
            data = data[os.write(1, data) :]
        except OSError:
            return 1
    return 0
