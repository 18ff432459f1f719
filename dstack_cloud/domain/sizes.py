"""Sizes of memory and disks as people write them: `16GB` is 16·10⁹ bytes, `16GiB` and `16Gi` are 16·2³⁰."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from dstack_cloud.errors import ConfigurationError

_SIZE = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,9}))?\s*([a-z]*)", re.IGNORECASE)
_LETTERS = "kmgtp"
_UNITS: dict[str, int] = (
    {"b": 1}
    | {letter: 1000 ** (power + 1) for power, letter in enumerate(_LETTERS)}
    | {f"{letter}b": 1000 ** (power + 1) for power, letter in enumerate(_LETTERS)}
    | {f"{letter}i": 1024 ** (power + 1) for power, letter in enumerate(_LETTERS)}
    | {f"{letter}ib": 1024 ** (power + 1) for power, letter in enumerate(_LETTERS)}
)
LARGEST = 2**60
ALLOWED = "a size such as 512MB, 16GB or 16GiB"


def parse_size(text: str) -> int:
    """Bytes, rounded up to a whole one. Raises ConfigurationError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(f"`{text}` isn't a size", f"write {ALLOWED}")
    whole, fraction, unit = match.groups()
    if not unit:
        raise ConfigurationError(
            f"the size `{text}` has no unit", f"write {text.strip()}GB, {text.strip()}MB or {text.strip()}GiB"
        )
    if unit.lower() not in _UNITS:
        raise ConfigurationError(
            f"`{unit}` in `{text}` isn't a unit of size", "units are KB, MB, GB, TB, PB and KiB, MiB, GiB, TiB, PiB"
        )
    number = Fraction(f"{whole}.{fraction}") if fraction else int(whole)
    size = math.ceil(number * _UNITS[unit.lower()])
    if not 0 < size <= LARGEST:
        raise ConfigurationError(f"the size `{text}` isn't between 1 byte and 1024 PiB", f"write {ALLOWED}")
    return size


def exact_size(size: int) -> str:
    """The shortest spelling that `parse_size` reads back as the same number of bytes: `16GiB`, `16GB`, `1537B`."""
    for letter in reversed(_LETTERS):
        for unit in (f"{letter}ib", f"{letter}b"):
            if size and size % _UNITS[unit] == 0:
                return f"{size // _UNITS[unit]}{unit.upper().replace('IB', 'iB')}"
    return f"{size}B"
