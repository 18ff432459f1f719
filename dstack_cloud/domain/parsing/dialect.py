"""The spellings of all dialects, brought to one: synonyms, fields of some providers only, fields left empty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from dstack_cloud.domain.parsing import values
from dstack_cloud.domain.parsing.known import SYNONYMS, Known
from dstack_cloud.domain.parsing.model import SECTIONS, Body
from dstack_cloud.domain.parsing.problems import Finding
from dstack_cloud.domain.parsing.rules import provider_of
from dstack_cloud.domain.parsing.shapes import Collected
from dstack_cloud.domain.parsing.source import Fields, Items, Scalar, Tree
from dstack_cloud.providers.options import Option

_COMMON = frozenset(Body.model_fields)


@dataclass
class Spelled:
    """`common`: fields that every workflow may have, under the names of `Body`; `options`: those of its provider only.

    `spelling`: name in `common` → the key in the file, where they differ.
    """

    common: Fields
    options: Fields
    spelling: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def lines(self) -> dict[str, int]:
        """By name, not by spelling."""
        return {name: mark.line for part in (self.common, self.options) for name, mark in part.key_marks.items()}


def spell(tree: Fields, known: Known) -> Spelled:
    """Sorts the fields of a workflow; unknown ones stay in `common`, for Pydantic to refuse."""
    spelled = Spelled(Fields(tree.mark, tree.flow), Fields(tree.mark, tree.flow))
    provider = provider_of(tree)
    described = known.of(provider)
    spellings = {**SYNONYMS, **described.spellings}
    for key in tree:
        if key not in spellings and key not in _COMMON and (owners := known.owners(key)):
            becomes = known.becomes(key)
            hint = f"write `{becomes}`" if becomes in _COMMON else f"it is a field of {', '.join(owners)}"
            spelled.findings.append(Finding((key,), f"is no field of provider {provider}", hint, on_key=True))
        else:
            becomes = spellings.get(key, key)
            target = spelled.options if becomes in described.options else spelled.common
            _move(spelled, target, tree, (key, becomes))
    return spelled


def _move(spelled: Spelled, target: Fields, tree: Fields, keys: tuple[str, str]) -> None:
    key, becomes = keys
    value = tree[key]
    known = becomes in _COMMON or target is spelled.options
    if known and _is_null(value):
        return
    if becomes in target:
        text = f"says the same as `{spelled.spelling.get(becomes, becomes)}`, which is there too"
        spelled.findings.append(Finding((key,), text, "keep one of them", on_key=True))
        return
    target.put(becomes, _pruned(becomes, value), tree.key_marks[key])
    if key != becomes:
        spelled.spelling[becomes] = key


def read_options(
    options: Fields, declared: Mapping[str, Option]
) -> tuple[dict[str, str | tuple[str, ...]], list[Finding]]:
    collected = Collected()
    read: dict[str, str | tuple[str, ...]] = {}
    for key, value in options.items():
        option = declared[key]
        if option.kind == "words" and isinstance(value, Items):
            read[key] = tuple(collected.read((key, index), values.text, item) for index, item in enumerate(value))
        elif option.kind == "path":
            read[key] = collected.read((key,), values.path(partial(values.option_path, option=option)), value)
        else:
            read[key] = collected.read((key,), values.text, value)
    return read, collected.findings


def _pruned(name: str, value: Tree) -> Tree:
    """A section without the fields that were left empty, as if they weren't there."""
    if isinstance(value, Items) and name in SECTIONS:
        items = Items(value.mark, value.flow)
        items.extend(_pruned(name, item) for item in value)
        return items
    if not isinstance(value, Fields) or name not in SECTIONS:
        return value
    fields = Fields(value.mark, value.flow)
    for key, item in value.items():
        if not (_is_null(item) and key in SECTIONS[name].model_fields):
            fields.put(key, _pruned(key, item), value.key_marks[key])
    return fields


def _is_null(value: Tree) -> bool:
    return isinstance(value, Scalar) and value.kind == "null"
