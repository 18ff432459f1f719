"""Durations as people write them: `90` (seconds), `45s`, `30m`, `2h`, `1h30m`, `3d`, `1w`."""

from __future__ import annotations

import re

from dstack_cloud.errors import ConfigurationError

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PLAIN = re.compile(r"[0-9]{1,9}")
_PARTS = re.compile("".join(rf"(?:([0-9]{{1,9}})\s*{unit}\s*)?" for unit in _SECONDS))
LONGEST = 10 * 365 * _SECONDS["d"]
ALLOWED = "a duration such as 90s, 30m, 2h, 1h30m or 3d, or a number of seconds"


def parse_duration(text: str) -> int:
    """Seconds. Raises ConfigurationError."""
    wanted = text.strip().lower()
    if _PLAIN.fullmatch(wanted):
        seconds = int(wanted)
    else:
        match = _PARTS.fullmatch(wanted)
        if match is None or not wanted:
            raise ConfigurationError(f"`{text}` isn't a duration", f"write {ALLOWED}")
        seconds = sum(int(count) * unit for count, unit in zip(match.groups(), _SECONDS.values(), strict=True) if count)
    if not 0 < seconds <= LONGEST:
        raise ConfigurationError(f"the duration `{text}` isn't between 1 second and 10 years", f"write {ALLOWED}")
    return seconds
