"""What a document of Azure's may hold, by the models of Microsoft's own SDKs: names on the wire, types, what is required, what only
an answer may say. They come in two generations, and both are read: fields of a class, and the older maps of attributes.

A wrong document is told of in the words of the service, which deserializes strictly:
https://github.com/Azure/azure-sdk-for-net/issues/37855 ("Could not find member …", BadRequest)
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union

REQUEST, RESPONSE = "request", "response"
# enumerations that lag behind what there is: the words are only examples
OPEN = {"VirtualMachineSizeTypes"}
_PARTS = re.compile(r"(?<!\\)\.")
_SIMPLE: Mapping[str, tuple[type, ...]] = {
    **{"str": (str,), "bool": (bool,), "int": (int,), "float": (int, float), "iso-8601": (str,), "duration": (str,)},
    **{"object": (object,), "rfc-1123": (str,), "bytearray": (str,)},
}


@dataclass(frozen=True)
class Kind:
    """A type of values. One of: a model, a list or a mapping `of` something, an enumeration's words, simple Python types."""

    name: str
    model: type | None = None
    many: str = ""
    of: Kind | None = None
    words: tuple[str, ...] = ()
    simple: tuple[type, ...] = (object,)


@dataclass(frozen=True)
class Field:
    kind: Kind
    required: bool
    read_only: bool


@dataclass(frozen=True)
class Complaint:
    """`why` is one of: unknown, missing, value, read-only."""

    why: str
    path: str
    message: str


def model(name: str) -> type:
    """`compute.VirtualMachine`, `network.NetworkInterface`, `resources.ResourceGroup`."""
    package, _, found = name.partition(".")
    where = {"resources": "azure.mgmt.resource.resources.models"}.get(package, f"azure.mgmt.{package}.models")
    known: type = getattr(importlib.import_module(where), found)
    return known


def complaints(document: Any, name: str, mode: str) -> list[Complaint]:
    """All that is wrong with it as a request or a response; `name` is a model's."""
    kind = Kind(name.rpartition(".")[2], model=model(name))
    return list(_check(document, kind, "", mode))


def _check(value: Any, kind: Kind, path: str, mode: str) -> Iterator[Complaint]:
    if value is None:
        return
    if kind.model is not None:
        yield from _check_object(value, kind, path, mode)
    elif kind.many == "list":
        if not isinstance(value, list):
            yield _wrong(value, kind, path)
            return
        for index, each in enumerate(value):
            yield from _check(each, _of(kind), f"{path}[{index}]", mode)
    elif kind.many == "dict":
        if not isinstance(value, dict):
            yield _wrong(value, kind, path)
            return
        for key, each in value.items():
            yield from _check(each, _of(kind), f"{path}.{key}", mode)
    elif not _fits(value, kind):
        yield _wrong(value, kind, path)


def _fits(value: Any, kind: Kind) -> bool:
    if kind.words:
        # the services read enumerations in any case
        return isinstance(value, str) and value.lower() in {word.lower() for word in kind.words}
    if isinstance(value, bool) and not {bool, object} & set(kind.simple):
        return False
    return isinstance(value, kind.simple)


def _check_object(value: Any, kind: Kind, path: str, mode: str) -> Iterator[Complaint]:
    if not isinstance(value, dict):
        yield _wrong(value, kind, path)
        return
    assert kind.model
    known = fields(kind.model)
    for name, each in value.items():
        below = f"{path}.{name}" if path else name
        field = known.get(name)
        if field is None:
            message = (
                f"Could not find member '{name}' on object of type '{kind.name}'. Path '{below}', line 1, position 1."
            )
            yield Complaint("unknown", below, message)
        elif mode == REQUEST and field.read_only:
            message = f"Changing property '{below}' is not allowed: it is read-only."
            yield Complaint("read-only", below, message)
        else:
            yield from _check(each, field.kind, below, mode)
    for name, field in known.items():
        if field.required and not field.read_only and value.get(name) is None:
            below = f"{path}.{name}" if path else name
            yield Complaint("missing", below, f"Required parameter '{below}' is missing (null).")


def _wrong(value: Any, kind: Kind, path: str) -> Complaint:
    shown = f'"{value}"' if isinstance(value, str) else type(value).__name__
    message = f"Error converting value {shown} to type '{kind.name}'. Path '{path}', line 1, position 1."
    return Complaint("value", path, message)


def _of(kind: Kind) -> Kind:
    assert kind.of
    return kind.of


@functools.cache
def fields(found: type) -> Mapping[str, Field]:
    """By their names on the wire."""
    return dict(_mapped(found) if hasattr(found, "_attribute_map") else _declared(found))


def _declared(found: type) -> Iterator[tuple[str, Field]]:
    """Of a class whose fields are `rest_field`s."""
    package = importlib.import_module(found.__module__.rpartition(".")[0])
    for owner in found.__mro__:
        hints = inspect.get_annotations(owner)
        module = importlib.import_module(owner.__module__)
        for name, hint in hints.items():
            rest: Any = owner.__dict__.get(name)
            if not hasattr(rest, "_rest_name_input"):
                continue
            names = {"_models": package, "datetime": importlib.import_module("datetime")}
            kind, optional = _kind(eval(hint, vars(module), names) if isinstance(hint, str) else hint, names)
            visible = rest._visibility or ["read", "create"]
            yield rest._rest_name_input or name, Field(kind, not optional, visible == ["read"])


def _kind(hint: Any, names: Mapping[str, Any]) -> tuple[Kind, bool]:
    """The kind, and whether None will do."""
    if isinstance(hint, (str, typing.ForwardRef)):
        text = hint if isinstance(hint, str) else hint.__forward_arg__
        return _kind(eval(text, {**vars(typing), **names}), names)
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        rest = [_kind(each, names)[0] for each in given if each is not type(None)]
        return next((each for each in rest if each.words), rest[0]), type(None) in given
    if origin in (list, dict):
        return Kind(origin.__name__, many=origin.__name__, of=_kind(given[-1], names)[0]), False
    if origin is typing.Literal:
        words = tuple(str(getattr(each, "value", each)) for each in given)
        return Kind("Literal", words=words), False
    if isinstance(hint, type) and issubclass(hint, enum.Enum) and hint.__name__ not in OPEN:
        return Kind(hint.__name__, words=tuple(str(each.value) for each in hint)), False
    if isinstance(hint, type) and hasattr(hint, "_is_model"):
        return Kind(hint.__name__, model=hint), False
    simple = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}.get(hint)
    if simple is None:  # moments, durations and such are strings on the wire; Any is anything
        simple = (object,) if hint is Any else (str,)
    return Kind(getattr(hint, "__name__", str(hint)), simple=simple), False


def _mapped(found: Any) -> Iterator[tuple[str, Field]]:
    """Of a class with a map of attributes and one of what is required or read-only."""
    package = importlib.import_module(found.__module__.rpartition(".")[0])
    rules: Mapping[str, Mapping[str, bool]] = getattr(found, "_validation", {})
    for name, known in found._attribute_map.items():
        rule = rules.get(name, {})
        yield _PARTS.split(known["key"])[0], Field(_old_kind(known["type"], package), *_flags(rule))


def _flags(rule: Mapping[str, bool]) -> tuple[bool, bool]:
    return bool(rule.get("required")), bool(rule.get("readonly"))


def _old_kind(text: str, package: Any) -> Kind:
    if text[0] in "[{":
        return Kind(text, many="list" if text[0] == "[" else "dict", of=_old_kind(text[1:-1], package))
    if text in _SIMPLE:
        return Kind(text, simple=_SIMPLE[text])
    return Kind(text, model=getattr(package, text))
