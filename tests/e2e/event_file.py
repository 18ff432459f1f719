"""A file of events as a training program writes it for TensorBoard.

Records of TFRecord (https://www.tensorflow.org/tutorials/load_data/tfrecord), each an `Event` of
https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

CASTAGNOLI = 0x82F63B78


def write(path: Path, tag: str, values: Sequence[float]) -> None:
    """One scalar named `tag`, of which a step has a value each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    events = [_event(0, b"\x1a" + _sized(b"brain.Event:2"))]
    for step, value in enumerate(values):
        scalar = b"\x0a" + _sized(tag.encode()) + b"\x15" + struct.pack("<f", value)
        events.append(_event(step, b"\x2a" + _sized(b"\x0a" + _sized(scalar))))
    path.write_bytes(b"".join(map(_record, events)))


def _event(step: int, what: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", 1_700_000_000.0 + step) + b"\x10" + bytes([step]) + what


def _sized(data: bytes) -> bytes:
    """For less than 128 bytes, whose length is one byte."""
    return bytes([len(data)]) + data


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def _masked(data: bytes) -> int:
    """Its CRC-32C, turned and shifted so that a sum of data which holds sums stays good."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ CASTAGNOLI * (crc & 1)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
