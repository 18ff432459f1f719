"""`sweep`: the parameters that a workflow is tried with."""

from __future__ import annotations

from dstack_cloud.domain.parsing import values
from dstack_cloud.domain.parsing.problems import Path, nearest_hint
from dstack_cloud.domain.parsing.shapes import Collected
from dstack_cloud.domain.parsing.source import Fields, Items
from dstack_cloud.domain.parsing.values import expected, found

_RANGE = ("min", "max", "step", "log")

Read = dict[str, object]


def parameters(value: object) -> dict[str, Read]:
    """Name → `{values}` (texts as in the file) or `{min, max, step, log}` (texts; `log` a truth value)."""
    if not isinstance(value, Fields) or not value:
        raise expected("a mapping from names to lists of values", value)
    collected = Collected()
    read: dict[str, Read] = {}
    for key, given in value.items():
        if isinstance(given, Items) and given:
            texts = tuple(collected.read((key, index), values.text, item) for index, item in enumerate(given))
            read[key] = {"values": texts}
        elif isinstance(given, Fields):
            read[key] = _range(collected, (key,), given)
        else:
            collected.add((key,), f"must be a list of values, or a mapping of min and max, found {found(given)}")
    collected.done()
    return read


def _range(collected: Collected, at: Path, value: Fields) -> Read:
    read: Read = {}
    for key, given in value.items():
        if key not in _RANGE:
            collected.add((*at, key), "isn't a part of it", nearest_hint(key, _RANGE, "parts"), on_key=True)
        else:
            read[key] = collected.read((*at, key), values.flag if key == "log" else _number, given)
    for key in ("min", "max"):
        if key not in value:
            collected.add(at, f"has no `{key}`", "a range has `min` and `max`, and may have `step` and `log`")
    return read


def _number(value: object) -> str:
    given = values.text(value)
    try:
        float(given)
    except ValueError:
        raise expected("a number", value) from None
    return given
