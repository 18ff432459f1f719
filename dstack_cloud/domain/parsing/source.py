"""YAML text as a tree that keeps each scalar's own spelling (`3.10`, `0.00002`) and the place of everything.

Hostile input ends in a Fault, never in a hang or a traceback: nesting, aliases and the file's length are limited.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import yaml
from yaml import events

from dstack_cloud.domain.parsing.problems import Path, shown
from dstack_cloud.domain.parsing.syntax import explain

LONGEST_TEXT = 512 * 1024
DEEPEST = 40
MOST_VALUES = 200_000

Kind = Literal["text", "number", "bool", "null"]

_TAG = "tag:yaml.org,2002:"
_TEXT, _MERGE = f"{_TAG}str", f"{_TAG}merge"
_KINDS: dict[str, Kind] = {
    _TEXT: "text",
    f"{_TAG}value": "text",
    _MERGE: "text",
    f"{_TAG}timestamp": "text",
    f"{_TAG}int": "number",
    f"{_TAG}float": "number",
    f"{_TAG}bool": "bool",
    f"{_TAG}null": "null",
}
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_KNOWN_TAGS = {*_KINDS, f"{_TAG}map", f"{_TAG}seq"}
# by first character, what a scalar without quotes may be beside a text
_IMPLICIT: dict[str, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers


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

    __slots__ = ("kind", "mark")
    kind: Kind
    mark: Mark

    def __new__(cls, text: str, kind: Kind, mark: Mark) -> Scalar:
        self = str.__new__(cls, text)
        self.kind, self.mark = kind, mark
        return self


class _MergeKey(Scalar):
    """`<<`, without quotes."""

    __slots__ = ()


class Items(list[Any]):
    __slots__ = ("flow", "mark")

    def __init__(self, mark: Mark, flow: bool) -> None:
        self.mark, self.flow = mark, flow


class Fields(dict[str, Any]):
    """`key_marks` says where each key stands."""

    __slots__ = ("flow", "key_marks", "mark")

    def __init__(self, mark: Mark, flow: bool) -> None:
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
    if yaml.__with_libyaml__:
        # ten times as fast; its complaints are in other words, so what it doesn't take is read by the other one
        with contextlib.suppress(yaml.YAMLError, ValueError, OverflowError):
            return _built(_LibYaml(text))
    try:
        return _read_slowly(text)
    except _Refused as refused:
        return None, [Fault(refused.mark, (), refused.text, refused.hint)]


def _read_slowly(text: str) -> tuple[Tree | None, list[Fault]]:
    """By PyYAML's own parser, whose complaints `syntax` explains. Raises _Refused."""
    try:
        return _built(yaml.SafeLoader(text))
    except yaml.MarkedYAMLError as error:
        # of a quote that is never closed the problem is where the text ends, and the context where it opens
        unclosed = error.context == "while scanning a quoted scalar" and "unexpected" in (error.problem or "")
        place = error.context_mark if unclosed else error.problem_mark or error.context_mark
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


if yaml.__with_libyaml__:
    from yaml._yaml import CParser as _LibYaml


def _built(parser: Any) -> tuple[Tree | None, list[Fault]]:  # noqa: ANN401 - libyaml's parser, or PyYAML's
    builder = _Builder(parser)
    try:
        return builder.root(), builder.faults
    except _Refused as refused:
        return None, [*builder.faults, Fault(refused.mark, (), refused.text, refused.hint)]


def _mark(mark: Any) -> Mark:  # noqa: ANN401 - PyYAML's Mark, or libyaml's
    return Mark(mark.line + 1, mark.column + 1)


class _List:
    """A list whose end hasn't come yet. `before`: how many values came before it; `deepest`: how deep what is in it goes."""

    def __init__(self, tree: Items, anchor: str | None, before: int, depth: int) -> None:
        self.tree, self.anchor, self.before, self.deepest = tree, anchor, before, depth

    @property
    def at(self) -> Path:
        """Of the item that comes next."""
        return (len(self.tree),)

    def take(self, value: Tree, _: _Builder) -> None:
        self.tree.append(value)

    def end(self) -> Items:
        return self.tree


class _Mapping:
    """The same of a mapping, where a key and its value take turns. `key` is the one whose value comes next."""

    def __init__(self, tree: Fields, anchor: str | None, before: int, depth: int) -> None:
        self.tree, self.anchor, self.before, self.deepest = tree, anchor, before, depth
        self.key: Tree | None = None
        self._merged: list[Fields] = []

    @property
    def at(self) -> Path:
        """Of the value that comes next: what is merged comes into the mapping itself."""
        return (str(self.key),) if type(self.key) is Scalar else ()

    def take(self, value: Tree, builder: _Builder) -> None:
        key = self.key
        if key is None:
            if not isinstance(value, Scalar):
                text = "a key must be a text, not a list or a mapping"
                builder.fault(value.mark, text, "put a key in quotes if it holds brackets")
            self.key = value
            return
        if type(key) is Scalar:
            self._put(key, value, builder)
        elif isinstance(key, _MergeKey):
            self._merge(value, builder)
        self.key = None

    def _put(self, key: Scalar, value: Tree, builder: _Builder) -> None:
        name, marks = str(key), self.tree.key_marks
        if name in marks:
            text = f"{shown(name)} is given twice; the first is in line {marks[name].line}"
            builder.fault(key.mark, text, "keep one of them")
        else:
            self.tree[name] = value
            marks[name] = key.mark

    def _merge(self, value: Tree, builder: _Builder) -> None:
        sources = list(value) if isinstance(value, Items) else [value]
        good = [source for source in sources if isinstance(source, Fields)]
        if len(good) < len(sources):
            text = "`<<` takes a mapping or a list of mappings"
            builder.fault(value.mark, text, "write `<<: *name` of a mapping's anchor")
        self._merged += good

    def end(self) -> Fields:
        for source in self._merged:
            for key, value in source.items():
                if key not in self.tree:
                    self.tree.put(key, value, source.key_marks[key])
        return self.tree


@dataclass(frozen=True)
class _Anchored:
    """What an anchor names; None: its end hasn't come yet. `values` and `height`: how many values it has, and how deep it goes."""

    mark: Mark
    tree: Tree | None = None
    values: int = 0
    height: int = 0


class _Builder:
    """From a parser's events to one tree, without recursion: what is nested too deep is refused before any stack is full.

    An alias stands for the same tree as its anchor, and counts as if it were written out.
    """

    def __init__(self, parser: Any) -> None:  # noqa: ANN401
        self.faults: list[Fault] = []
        self._next = parser.get_event
        self._open: list[_List | _Mapping] = []
        self._anchors: dict[str, _Anchored] = {}
        self._values = 0

    def root(self) -> Tree | None:
        """None where the text holds nothing. Raises _Refused, and the parser's own errors."""
        self._next()
        if type(self._next()) is events.StreamEndEvent:
            return None
        tree = self._tree()
        self._next()
        another = self._next()
        if type(another) is not events.StreamEndEvent:
            mark = _mark(another.start_mark)
            raise _Refused(mark, "the file holds several documents", "remove the line `---` between them")
        return tree

    def fault(self, mark: Mark, text: str, hint: str) -> None:
        """At the value that comes next."""
        if not any(fault.mark == mark and fault.text == text for fault in self.faults):
            path = tuple(part for each in self._open for part in each.at)
            self.faults.append(Fault(mark, path, text, hint))

    def _tree(self) -> Tree:
        opened = self._open
        while True:
            event = self._next()
            kind = type(event)
            if kind is events.ScalarEvent:
                done: Tree = self._scalar(event)
            elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
                self._begin(event, kind is events.MappingStartEvent)
                continue
            else:
                done = self._alias(event) if kind is events.AliasEvent else self._end()
            if not opened:
                return done
            opened[-1].take(done, self)

    def _scalar(self, event: Any) -> Scalar:  # noqa: ANN401 - as the parser has it
        text, mark = event.value, _mark(event.start_mark)
        tag = event.tag
        if tag is None or tag == "!":
            tag = _resolved(text) if event.implicit[0] else _TEXT
        else:
            self._check_tag(tag, mark)
        self._count(1, mark)
        # only an escape can stand for one: no parser takes the character itself
        if event.style == '"' and _NO_TEXT.search(text):
            wrong = "a character in it can't be part of a text (NUL or half a surrogate pair)"
            self.fault(mark, wrong, "remove the escape")
        scalar = (_MergeKey if tag == _MERGE else Scalar)(text, _KINDS.get(tag, "text"), mark)
        if event.anchor is not None:
            self._name(event.anchor, mark)
            self._anchors[event.anchor] = _Anchored(mark, scalar, 1)
        return scalar

    def _begin(self, event: Any, is_mapping: bool) -> None:  # noqa: ANN401
        mark, depth = _mark(event.start_mark), len(self._open)
        if depth == DEEPEST:
            raise _Refused(mark, f"lists and mappings are nested more than {DEEPEST} deep")
        if event.tag is not None and event.tag != "!":
            self._check_tag(event.tag, mark)
        if event.anchor is not None:
            self._name(event.anchor, mark)
        self._count(1, mark)
        about = event.anchor, self._values - 1, depth + 1
        flow = bool(event.flow_style)
        self._open.append(_Mapping(Fields(mark, flow), *about) if is_mapping else _List(Items(mark, flow), *about))

    def _end(self) -> Items | Fields:
        ended = self._open.pop()
        tree, depth = ended.end(), len(self._open)
        if depth:
            self._open[-1].deepest = max(self._open[-1].deepest, ended.deepest)
        if ended.anchor is not None:
            size = self._values - ended.before
            self._anchors[ended.anchor] = _Anchored(tree.mark, tree, size, ended.deepest - depth)
        return tree

    def _alias(self, event: Any) -> Tree:  # noqa: ANN401
        mark, name = _mark(event.start_mark), event.anchor
        known = self._anchors.get(name)
        if known is None:
            raise _Refused(mark, f"the alias `*{name}` has no anchor `&{name}` before it")
        if known.tree is None:
            raise _Refused(known.mark, "an anchor contains an alias of itself")
        self._count(known.values, mark)
        depth = len(self._open) + known.height
        if depth > DEEPEST:
            raise _Refused(mark, f"lists and mappings are nested more than {DEEPEST} deep")
        if self._open:
            self._open[-1].deepest = max(self._open[-1].deepest, depth)
        return known.tree

    def _name(self, anchor: str, mark: Mark) -> None:
        if anchor in self._anchors:
            raise _Refused(mark, f"the anchor `&{anchor}` is given twice", "give one of them another name")
        self._anchors[anchor] = _Anchored(mark)

    def _count(self, values: int, mark: Mark) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            raise _Refused(mark, f"with its aliases the file has more than {MOST_VALUES} values")

    def _check_tag(self, tag: str, mark: Mark) -> None:
        if tag not in _KNOWN_TAGS:
            self.fault(mark, f"the tag {shown(tag.replace(_TAG, '!!'))} has no meaning here", "remove it")


def _resolved(text: str) -> str:
    """What YAML takes a scalar without quotes for."""
    for tag, pattern in _IMPLICIT.get(text[:1], ()):
        if pattern.match(text):
            return tag
    return _TEXT


def plain_scalar(text: str, mark: Mark) -> Scalar:
    """As if it stood in a file without quotes."""
    return Scalar(text, _KINDS.get(_resolved(text), "text"), mark)
