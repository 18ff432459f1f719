"""YAML text as a tree that keeps each scalar's own spelling (`3.10`, `0.00002`) and the place of everything.

Hostile input ends in a Fault, never in a hang or a traceback: nesting, aliases and the file's length are limited.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import yaml

from dstack_cloud.domain.parsing.problems import Path, shown
from dstack_cloud.domain.parsing.syntax import explain

LONGEST_TEXT = 512 * 1024
DEEPEST = 40
MOST_VALUES = 200_000

Kind = Literal["text", "number", "bool", "null"]

_TAG = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {
    f"{_TAG}str": "text",
    f"{_TAG}value": "text",
    f"{_TAG}merge": "text",
    f"{_TAG}timestamp": "text",
    f"{_TAG}int": "number",
    f"{_TAG}float": "number",
    f"{_TAG}bool": "bool",
    f"{_TAG}null": "null",
}
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_KNOWN_TAGS = {*_KINDS, f"{_TAG}map", f"{_TAG}seq"}


class Mark(NamedTuple):
    """Counts from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Fault:
    mark: Mark
    where: Path
    text: str
    hint: str | None = None


class Scalar(str):
    """The text as it stands in the file; `kind` is what YAML takes it for."""

    kind: Kind
    mark: Mark

    def __new__(cls, text: str, kind: Kind, mark: Mark) -> Scalar:
        self = super().__new__(cls, text)
        self.kind, self.mark = kind, mark
        return self


class Items(list[Any]):
    def __init__(self, mark: Mark, flow: bool) -> None:
        super().__init__()
        self.mark, self.flow = mark, flow


class Fields(dict[str, Any]):
    """`key_marks` says where each key stands."""

    def __init__(self, mark: Mark, flow: bool) -> None:
        super().__init__()
        self.mark, self.flow = mark, flow
        self.key_marks: dict[str, Mark] = {}

    def put(self, key: str, value: Tree, mark: Mark) -> None:
        self[key] = value
        self.key_marks[key] = mark


Tree = Scalar | Items | Fields


class _Refused(Exception):
    def __init__(self, mark: Mark, text: str, hint: str | None = None) -> None:
        self.mark, self.text, self.hint = mark, text, hint


def read(text: str) -> tuple[Tree | None, list[Fault]]:
    """The root (None where the file is empty or can't be read) and what is wrong with it as YAML."""
    if len(text) > LONGEST_TEXT:
        return None, [
            Fault(Mark(1, 1), (), "the file is longer than 512 KiB", "split it into several files in .dstack/workflows")
        ]
    builder = _Builder()
    try:
        node = _compose(text)
        root = None if node is None else builder.build(node, (), 0)
    except _Refused as refused:
        return None, [*builder.faults, Fault(refused.mark, (), refused.text, refused.hint)]
    return root, builder.faults


class _Composer(yaml.composer.Composer):
    """Composes nodes, and stops before Python's own recursion limit would; libyaml's composer would go on until the stack is full."""

    depth = 0

    def compose_sequence_node(self, anchor: Any) -> yaml.SequenceNode:  # noqa: ANN401 - as PyYAML has it
        with self._deeper():
            return super().compose_sequence_node(anchor)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401
        with self._deeper():
            return super().compose_mapping_node(anchor)

    @contextlib.contextmanager
    def _deeper(self) -> Iterator[None]:
        self.depth += 1
        if self.depth > DEEPEST:
            event = self.peek_event()  # type: ignore[attr-defined]  # of the parser that it is joined with
            raise _Refused(_mark(event.start_mark), f"lists and mappings are nested more than {DEEPEST} deep")
        yield
        self.depth -= 1


class _Loader(_Composer, yaml.SafeLoader):
    """PyYAML's own, whose complaints `syntax` explains."""


_RESOLVER = yaml.resolver.Resolver()


@lru_cache(maxsize=4096)
def _tag(kind: Any, value: Any, implicit: Any) -> str:  # noqa: ANN401
    """What YAML takes a scalar for: half of all are keys, the same ones in each workflow."""
    return str(_RESOLVER.resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _FastLoader(_Composer, CParser, yaml.resolver.Resolver):
        """libyaml's scanner and parser, ten times as fast; its complaints are in other words."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            _Composer.__init__(self)
            yaml.resolver.Resolver.__init__(self)

        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:  # noqa: ANN401 - as PyYAML has it
            return _tag(kind, value, implicit)

        def descend_resolver(self, current_node: object, current_index: object) -> None:
            """Nothing is looked for by its path."""

        def ascend_resolver(self) -> None:
            """As above."""


def _compose(text: str) -> yaml.Node | None:
    if yaml.__with_libyaml__:
        with contextlib.suppress(yaml.YAMLError, ValueError, OverflowError):
            return _FastLoader(text).get_single_node()
    return _compose_slowly(text)


def _compose_slowly(text: str) -> yaml.Node | None:
    try:
        return _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        sentence, hint = explain(error.problem or "", error.context or "")
        raise _Refused(_mark(place) if place else Mark(1, 1), sentence, hint) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        code = f"U+{ord(text[error.position]):04X}" if error.position < len(text) else "an unknown character"
        raise _Refused(
            mark, f"the character {code} can't stand in a YAML file", "is it a text file in UTF-8?"
        ) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML turns escapes such as "\UFFFFFFFF" and version numbers into Python values without checking them
        raise _Refused(Mark(1, 1), "an escape or a number in the file is out of range") from error


def _mark(mark: Any) -> Mark:  # noqa: ANN401 - PyYAML's Mark, or libyaml's
    return Mark(mark.line + 1, mark.column + 1)


class _Builder:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._left = MOST_VALUES
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: Path, depth: int) -> Tree:
        mark = _mark(node.start_mark)
        self._left -= 1
        if self._left < 0:
            raise _Refused(mark, f"with its aliases the file has more than {MOST_VALUES} values")
        if depth > DEEPEST:
            raise _Refused(mark, f"lists and mappings are nested more than {DEEPEST} deep")
        if node.tag not in _KNOWN_TAGS:
            tag = node.tag.replace(_TAG, "!!")
            self._fault(mark, path, f"the tag {shown(tag)} has no meaning here", "remove it")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, mark, path)
        if id(node) in self._open:
            raise _Refused(mark, "an anchor contains an alias of itself")
        self._open.add(id(node))
        try:
            return self._value(node, mark, path, depth)
        finally:
            self._open.discard(id(node))

    def _value(self, node: Any, mark: Mark, path: Path, depth: int) -> Tree:  # noqa: ANN401 - one of PyYAML's collections
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, mark, path, depth)
        items = Items(mark, bool(node.flow_style))
        items.extend(self.build(child, (*path, index), depth + 1) for index, child in enumerate(node.value))
        return items

    def _scalar(self, node: yaml.Node, mark: Mark, path: Path) -> Scalar:
        text = str(node.value)
        if _NO_TEXT.search(text):
            self._fault(
                mark,
                path,
                "a character in it can't be part of a text (NUL or half a surrogate pair)",
                "remove the escape",
            )
        return Scalar(text, _KINDS.get(node.tag, "text"), mark)

    def _mapping(self, node: yaml.MappingNode, mark: Mark, path: Path, depth: int) -> Fields:
        fields = Fields(mark, bool(node.flow_style))
        merged: list[Fields] = []
        for key_node, value_node in node.value:
            key_mark = _mark(key_node.start_mark)
            if key_node.tag == f"{_TAG}merge":
                merged.extend(self._merged(value_node, path, depth))
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(
                    key_mark,
                    path,
                    "a key must be a text, not a list or a mapping",
                    "put a key in quotes if it holds brackets",
                )
                continue
            key = str(self._scalar(key_node, key_mark, path))
            value = self.build(value_node, (*path, key), depth + 1)
            if key in fields:
                first = fields.key_marks[key].line
                text = f"{shown(key)} is given twice; the first is in line {first}"
                self._fault(key_mark, (*path, key), text, "keep one of them")
            else:
                fields.put(key, value, key_mark)
        for key, value, key_mark in _entries(merged):
            if key not in fields:
                fields.put(key, value, key_mark)
        return fields

    def _merged(self, node: yaml.Node, path: Path, depth: int) -> list[Fields]:
        built = self.build(node, path, depth + 1)
        sources = list(built) if isinstance(built, Items) else [built]
        good = [source for source in sources if isinstance(source, Fields)]
        if len(good) < len(sources):
            self._fault(
                _mark(node.start_mark),
                path,
                "`<<` takes a mapping or a list of mappings",
                "write `<<: *name` of a mapping's anchor",
            )
        return good

    def _fault(self, mark: Mark, path: Path, text: str, hint: str) -> None:
        if not any(fault.mark == mark and fault.text == text for fault in self.faults):
            self.faults.append(Fault(mark, path, text, hint))


def _entries(sources: list[Fields]) -> Iterator[tuple[str, Tree, Mark]]:
    for source in sources:
        for key, value in source.items():
            yield key, value, source.key_marks[key]
