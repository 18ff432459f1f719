"""Tables in Markdown, and what a model's JSON Schema says of its fields in words: the same as editors are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from dstack_cloud.domain.sizes import exact_size

_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "array": "list",
    "object": "mapping",
}
_NUMBERS = ("integer", "number")
# every scalar, as it is spelled
_ANY_TEXT = {"string", "number", "boolean"}
_MOST_CHOICES = 6
_LEAST_SIZE = 2**20


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def fields_table(model: type[BaseModel]) -> str:
    """Of all fields."""
    return table(("field", "value", "default", ""), rows_of(model))


def rows_of(model: type[BaseModel], older: Mapping[str, str] | None = None) -> list[Sequence[str]]:
    """Of each field its name, with its `older` spellings (spelling → name), what it takes, its default and its description."""
    schema = model.model_json_schema()
    needed = schema.get("required", ())
    return [
        (
            f"`{name}`" + "".join(f" (`{old}`)" for old, new in (older or {}).items() if new == name),
            ", ".join(dict.fromkeys(_kinds(field, schema.get("$defs", {})))),
            "required" if name in needed else _default(field.get("default")),
            field["description"],
        )
        for name, field in schema["properties"].items()
    ]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _kinds(shape: Mapping[str, Any], named: Mapping[str, Any]) -> Iterator[str]:
    """`named`: the shapes that are told of elsewhere."""
    if "enum" in shape:
        yield from _choices(shape["enum"])
    elif "anyOf" in shape:
        for each in shape["anyOf"]:
            yield from _kinds(each, named)
    elif "$ref" in shape:
        yield from _kinds(named[shape["$ref"].rpartition("/")[2]], named)
    elif "type" in shape:
        given = shape["type"]
        yield from _types([given] if isinstance(given, str) else given, written="pattern" in shape)


def _choices(values: Sequence[Any]) -> Iterator[str]:
    if len(values) <= _MOST_CHOICES:
        yield from (f"`{value}`" for value in values)
    else:
        yield "text"


def _types(names: Sequence[str], *, written: bool) -> Iterator[str]:
    """`written`: the first type is meant, and the others are ways to write it."""
    if set(names) == _ANY_TEXT:
        yield "text"
    elif written:
        yield _WORDS[names[0]]
    else:
        yield from (_WORDS[name] for name in names if name != "null")


def _default(value: object) -> str:
    """Empty where it is as good as none."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{key}: {each}" for key, each in value.items() if each not in (None, "", [], {}))
        return f"`{{{text}}}`" if text else ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, int) and value >= _LEAST_SIZE:
        return f"`{exact_size(value)}`"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`" if value else ""
    return "" if value in (None, "") else f"`{value}`"
