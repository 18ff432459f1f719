"""Readers of lists and mappings that may be written in several ways; each gives one of them to the model."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticCustomError

from dstack_cloud.domain.parsing import values
from dstack_cloud.domain.parsing.problems import Finding, Path, shown
from dstack_cloud.domain.parsing.source import Fields, Items, Scalar
from dstack_cloud.domain.parsing.values import expected, found, wrong
from dstack_cloud.domain.resources import GpuRequirement
from dstack_cloud.domain.sizes import exact_size, parse_size
from dstack_cloud.errors import ConfigurationError

_CRON_WORDS = {"@hourly", "@daily", "@weekly", "@monthly", "@yearly"}
_CRON_PART = re.compile(r"[0-9A-Za-z*,/-]+")
_GPU_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _.-]*")
MOST_GPUS = 1024


class Collected:
    """Runs readers over the parts of a value and keeps what each finds wrong, so that all of it is told at once."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def read(self, at: Path, reader: Callable[[object], Any], value: object) -> Any:  # noqa: ANN401
        """What `reader` gives, or None with its findings kept."""
        try:
            return reader(value)
        except PydanticCustomError as error:
            inner: tuple[Finding, ...] = (error.context or {})["findings"]
            self.findings += [Finding((*at, *each.at), each.text, each.hint, each.on_key) for each in inner]
            return None

    def add(self, at: Path, text: str, hint: str | None = None, *, on_key: bool = False) -> None:
        self.findings.append(Finding(at, text, hint, on_key))

    def done(self) -> None:
        if self.findings:
            raise wrong(self.findings)


def listed(reader: Callable[[object], Any], allowed: str) -> Callable[[object], tuple[Any, ...]]:
    """A reader of lists; a lone scalar or mapping counts as a list of one. Two items that read alike are refused."""

    def read(value: object) -> tuple[Any, ...]:
        if isinstance(value, Scalar) and value.kind == "null":
            raise expected(allowed, value)
        items, lone = (value, False) if isinstance(value, Items) else ([value], True)
        collected, good = Collected(), []
        for index, item in enumerate(items):
            at: Path = () if lone else (index,)
            one = collected.read(at, reader, item)
            if one is not None and one in good:
                collected.add(at, f"is there twice: {found(item)}", "remove one of them")
            good.append(one)
        collected.done()
        return tuple(good)

    return read


def commands(value: object) -> tuple[str, ...]:
    if isinstance(value, Items) and value:
        collected = Collected()
        given = tuple(collected.read((index,), values.command, item) for index, item in enumerate(value))
        collected.done()
        return given
    if isinstance(value, Scalar) and value.kind == "text" and value.strip():
        return (str(value),)
    raise expected("a list of commands, or one string", value)


def entrypoint(value: object) -> str | tuple[str, ...]:
    """A string stays one (it is split as a shell does when the run's values are in it)."""
    if isinstance(value, Items):
        collected = Collected()
        given = tuple(collected.read((index,), values.text, item) for index, item in enumerate(value))
        collected.done()
        return given
    given_text = values.word(value)
    try:
        shlex.split(given_text)
    except ValueError as error:
        raise values.refuse(f"{shown(given_text)} has a quote that is never closed") from error
    return given_text


def env(value: object) -> dict[str, str | None]:
    """`K=V`, bare `K`, or a mapping; None: taken from the caller's environment. Values are never shown: they may be secret."""
    collected = Collected()
    if isinstance(value, Fields):
        for key, item in value.items():
            _check_key(collected, (key,), key)
            if isinstance(item, (Fields, Items)):
                collected.add((key,), f"must be a text, found {found(item)}")
        collected.done()
        return {key: None if item.kind == "null" else str(item) for key, item in value.items()}
    if not isinstance(value, Items):
        raise values.refuse("must be a list of `K=V` and `K`, or a mapping", "one variable a line, with `- ` before it")
    read: dict[str, str | None] = {}
    for index, item in enumerate(value):
        if not isinstance(item, Scalar) or item.kind == "null":
            hint = "write `K=V`, or leave the `- ` away on every line" if isinstance(item, Fields) else None
            collected.add((index,), f"must be `K=V` or `K`, found {found(item)}", hint)
            continue
        key, equals, text = item.partition("=")
        _check_key(collected, (index,), key)
        if key in read:
            collected.add((index,), f"sets {shown(key)}, which is set above", "remove one of them")
        read[key] = text if equals else None
    collected.done()
    return read


def ports(value: object) -> tuple[dict[str, int], ...]:
    allowed = 'a port, or a list of ports and "APP:LOCAL"'
    if isinstance(value, Fields) or (isinstance(value, Scalar) and value.kind == "null"):
        raise expected(allowed, value)
    items, lone = (value, False) if isinstance(value, Items) else ([value], True)
    collected = Collected()
    seen: list[tuple[int, int]] = []
    for index, item in enumerate(items):
        at: Path = () if lone else (index,)
        read = collected.read(at, values.port, item)
        if read is None:
            continue
        if any(read[0] == app for app, _ in seen):
            collected.add(at, f"exposes the port {read[0]}, which is exposed above", "remove one of them")
        elif any(read[1] == local for _, local in seen):
            collected.add(at, f"wants the local port {read[1]}, which is taken above", "choose another local port")
        seen.append(read)
    collected.done()
    return tuple({"app": app, "local": local} for app, local in seen)


def path_entries(value: object) -> list[object]:
    """A list of strings and mappings as a list of mappings with `path`; Pydantic goes on with each."""
    items = value if isinstance(value, Items) else [value]
    entries: list[object] = []
    for item in items:
        if isinstance(item, Scalar):
            entry = Fields(item.mark, True)
            entry.put("path", item, item.mark)
            entries.append(entry)
        else:
            entries.append(item)
    return entries


def gpu(value: object) -> object:
    """A count or a text as `parse_gpu` takes it becomes a mapping; a mapping goes on to Pydantic."""
    if not isinstance(value, Scalar):
        return value
    if value.kind in ("bool", "null"):
        raise expected("a count, a name, or a mapping of name, count and memory", value)
    try:
        wanted = parse_gpu(str(value))
    except ConfigurationError as error:
        raise values.refuse(f"isn't right: {error.summary}", error.hint) from error
    entry = Fields(value.mark, True)
    for field, text in _gpu_texts(wanted).items():
        entry.put(field, Scalar(text, "text", value.mark), value.mark)
    return entry


def parse_gpu(text: str) -> GpuRequirement:
    """`2`, `V100`, `V100:2`, `16GB` or `A100:40GB:2`. Raises ConfigurationError."""
    read: dict[str, Any] = {}
    value: str | int
    for part in (each.strip() for each in text.split(":")):
        if re.fullmatch(r"[0-9]{1,6}", part):
            field, value = "count", int(part)
        elif re.fullmatch(r"[0-9.]+\s*[kmgtp]i?b?", part, re.IGNORECASE):
            field, value = "memory", parse_size(part)
        elif _GPU_NAME.fullmatch(part):
            field, value = "name", part
        else:
            raise ConfigurationError(
                f"`{text}` doesn't name a GPU", "write a count, a name or both: `1`, `V100`, `V100:2`, `16GB`"
            )
        if field in read:
            raise ConfigurationError(
                f"`{text}` gives the {field} twice", "write name, memory and count once each: `A100:40GB:2`"
            )
        read[field] = value
    if read.get("count", 1) > MOST_GPUS:
        raise ConfigurationError(f"`{text}` asks for more than {MOST_GPUS} GPUs", "ask for fewer")
    return GpuRequirement(**read)


def _gpu_texts(wanted: GpuRequirement) -> dict[str, str]:
    texts = {"name": wanted.name, "count": str(wanted.count), "memory": wanted.memory and exact_size(wanted.memory)}
    return {field: text for field, text in texts.items() if text}


def spot_policy(value: object) -> object:
    """`interruptible: true` as `spot_policy: spot`; anything that isn't right stays for Pydantic to refuse."""
    older = value.get("interruptible") if isinstance(value, Fields) else None
    if not isinstance(value, Fields) or not isinstance(older, Scalar) or older.kind != "bool" or "spot_policy" in value:
        return value
    fields = Fields(value.mark, value.flow)
    for key, item in value.items():
        if key != "interruptible":
            fields.put(key, item, value.key_marks[key])
    policy = "spot" if values.flag(older) else "on-demand"
    fields.put("spot_policy", Scalar(policy, "text", older.mark), value.key_marks["interruptible"])
    return fields


def retry(value: object) -> object:
    """true or a duration as a mapping; a mapping goes on to Pydantic."""
    if not isinstance(value, Scalar):
        return value
    if value.kind == "bool":
        return {}
    entry = Fields(value.mark, True)
    entry.put("duration", value, value.mark)
    return entry


def cron(value: object) -> str:
    given = values.word(value)
    parts = given.split()
    if given in _CRON_WORDS or (len(parts) == 5 and all(_CRON_PART.fullmatch(part) for part in parts)):
        return " ".join(parts)
    hint = "minute, hour, day, month, weekday: `0 3 * * 1-5`; or @hourly, @daily, @weekly, @monthly, @yearly"
    raise expected("a cron expression of five parts", value, hint)


def _check_key(collected: Collected, at: Path, key: str) -> None:
    text = values.env_key(key)
    if text:
        collected.add(at, text, "letters, digits and `_`, not beginning with a digit", on_key=True)
