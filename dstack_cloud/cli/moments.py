"""Times as people write them on a command line."""

from __future__ import annotations

import re

from dstack_cloud.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds(text: str) -> float | None:
    """`90`, `30s`, `5m`, `1h30m`, `2d`, `1w` as seconds; None where it is something else."""
    if re.fullmatch(r"\d+", text):
        return float(text)
    if not re.fullmatch(r"(\d+[smhdw])+", text):
        return None
    return float(sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)([smhdw])", text)))


def moment(text: str, *, now: float) -> float:
    """UTC seconds of `5m` (ago) or of an ISO date or time, local where it names no zone. Raises UsageError."""
    from datetime import datetime

    ago = seconds(text)
    if ago is not None:
        return now - ago
    try:
        # Python 3.10 doesn't read the Z
        return datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text)).timestamp()
    except ValueError as error:
        raise UsageError(f"`{text}` is no time", "say `5m`, `2h`, `3d`, or a time like 2025-06-01T12:00") from error
