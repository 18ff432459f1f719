"""A YAML file that a person wrote, changed in places: every other line, and its comments, stay as they are.

Marks are those of PyYAML's nodes. A block's own end mark lies beyond the comments that follow it: `_end` is where its text ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from dstack_cloud import errors

Path = Sequence[str]
NULL = "tag:yaml.org,2002:null"
INDENT = 2


class Document:
    """`text` is the file as it is now. `where` names it in errors."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self._where = text.removeprefix("\ufeff"), where

    @property
    def data(self) -> dict[str, Any]:
        """Raises ConfigurationError where it isn't a mapping."""
        found = yaml.safe_load(self.text)
        if not isinstance(found, dict | None):
            raise errors.ConfigurationError(f"{self._where} must be a mapping, with `projects:` at its root")
        return found or {}

    def get(self, path: Path) -> Any:  # noqa: ANN401 - whatever YAML can hold
        """None where there is nothing."""
        found: Any = self.data
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def set(self, path: Path, value: object, comment: str = "") -> bool:
        """Whether that changed anything. Where the key is new, `comment` stands above it."""
        if self.get(path) == value and self._has(path):
            return False
        wanted = _with(self.data, path, value)
        self._change(lambda: self._set(path, value, comment), wanted)
        return True

    def remove(self, path: Path) -> bool:
        """With the mappings that it leaves empty. Whether there was anything."""
        if not self._has(path):
            return False
        while len(path) > 1 and len(self.get(path[:-1])) == 1:
            path = path[:-1]
        wanted = _without(self.data, path)
        self._change(lambda: self._remove(path), wanted)
        return True

    def _has(self, path: Path) -> bool:
        above = self.get(path[:-1]) if path[:-1] else self.data
        return isinstance(above, dict) and path[-1] in above

    def _change(self, edit: Callable[[], None], wanted: dict[str, Any]) -> None:
        before = self.text
        edit()
        if _load(self.text) != wanted:
            self.text = before
            raise errors.ConfigurationError(
                f"{self._where} is written in a way that can't be edited without losing something",
                "change it by hand, or write it as plain nested lines",
            )

    def _set(self, path: Path, value: object, comment: str) -> None:
        root = yaml.compose(self.text, yaml.SafeLoader)
        if root is None or root.tag == NULL:
            self._append(path, value, comment)
            return
        above, key, node, depth = root, root, root, 0
        while depth < len(path) and (found := self._item(node, path[depth])) is not None:
            above, (key, node), depth = node, found, depth + 1
        if depth == len(path):
            inside = isinstance(above, yaml.MappingNode) and bool(above.flow_style)
            self._replace(key, node, inline(value) if inside else plain(value))
        elif isinstance(node, yaml.MappingNode):
            self._insert(node, path[depth:], value, comment)
        else:
            self._fill(node, path, depth, (value, comment))

    def _item(self, node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
        """Raises ConfigurationError for an alias: what it stands for is written, and used, elsewhere."""
        if not isinstance(node, yaml.MappingNode):
            return None
        for name, found in node.value:
            if name.value == key:
                if found.start_mark.index < name.end_mark.index:
                    raise errors.ConfigurationError(
                        f"{self._where}: `{key}` is an alias of what is written elsewhere", "change it by hand"
                    )
                return name, found
        return None

    def _replace(self, key: yaml.Node, node: yaml.Node, value: str) -> None:
        start, end = node.start_mark.index, self._end(node)
        if isinstance(node, yaml.CollectionNode) and not node.flow_style:
            start = self.text.index(":", key.end_mark.index) + 1
        gap = "" if self.text[:start].endswith(" ") else " "
        self.text = f"{self.text[:start]}{gap}{value}{self.text[end:]}"

    def _insert(self, node: yaml.MappingNode, path: Path, value: object, comment: str) -> None:
        if node.flow_style:
            self._insert_inline(node, path, value)
            return
        column = node.value[0][0].start_mark.column
        at = self._line_end(self._end(node))
        self._put(at, _block(path, value, comment, column))

    def _insert_inline(self, node: yaml.MappingNode, path: Path, value: object) -> None:
        at = self._end(node.value[-1][1]) if node.value else node.start_mark.index + 1
        item = inline({path[0]: _nested(path[1:], value)})[1:-1]
        if not node.value:
            new = item
        elif self.text[at:].lstrip().startswith(","):
            at = self.text.index(",", at) + 1
            new = f" {item}"
        else:
            new = f", {item}"
        self.text = self.text[:at] + new + self.text[at:]

    def _fill(self, node: yaml.Node, path: Path, depth: int, new: tuple[object, str]) -> None:
        """A key without a value gets its first ones."""
        if node.tag != NULL:
            raise errors.ConfigurationError(f"{self._where}: `{'.'.join(path[:depth])}` must be a mapping")
        if self.text[node.start_mark.index : node.end_mark.index]:  # `null` or `~`
            self._replace(node, node, inline(_nested(path[depth:], new[0])))
            return
        at = node.start_mark.index  # right behind the colon
        line = self.text.rfind("\n", 0, at) + 1
        column = len(self.text[line:at]) - len(self.text[line:at].lstrip()) + INDENT
        self._put(self._line_end(at), _block(path[depth:], *new, column))

    def _append(self, path: Path, value: object, comment: str) -> None:
        self._put(len(self.text.rstrip("\n")), _block(path, value, comment, 0))

    def _put(self, at: int, lines: Sequence[str]) -> None:
        """As lines of their own behind `at`, the end of a line."""
        before, after = self.text[:at], self.text[at:]
        head = "\n" if before and not before.endswith("\n") else ""
        self.text = f"{before}{head}{chr(10).join(lines)}{after if after.startswith(chr(10)) else chr(10) + after}"

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def _remove(self, path: Path) -> None:
        """Does nothing where it comes from elsewhere, by a merge: who compares tells."""
        node: yaml.Node | None = yaml.compose(self.text, yaml.SafeLoader)
        for key in path[:-1]:
            found = self._item(node, key) if node is not None else None
            node = found[1] if found else None
        if not isinstance(node, yaml.MappingNode):
            return
        number = next((n for n, (name, _) in enumerate(node.value) if name.value == path[-1]), None)
        if number is None:
            return
        if node.flow_style:
            self._remove_inline(node, number)
            return
        name, value = node.value[number]
        start = self.text.rfind("\n", 0, name.start_mark.index) + 1
        end = self._line_end(max(self._end(value), name.end_mark.index))
        self.text = self.text[:start] + self.text[end + 1 :]

    def _remove_inline(self, node: yaml.MappingNode, number: int) -> None:
        """With the comma before it, or behind it where it is the first."""
        start, end = node.value[number][0].start_mark.index, self._end(node.value[number][1])
        if number:
            start = self._end(node.value[number - 1][1])
        elif len(node.value) > 1:
            end = node.value[1][0].start_mark.index
        self.text = self.text[:start] + self.text[end:]

    def _end(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.CollectionNode) and not node.flow_style:
            last = node.value[-1]
            return max(self._end(last[1]), last[0].end_mark.index) if isinstance(last, tuple) else self._end(last)
        end = int(node.end_mark.index)
        literal = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
        return len(self.text[:end].rstrip()) if literal else end


def inline(value: object) -> str:
    """On one line, as it may stand anywhere, also inside of brackets."""
    text = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.strip()[1:-1]


def plain(value: object) -> str:
    """On one line, as it may stand behind a key with nothing after it: a text mostly without quotes."""
    if not isinstance(value, str):
        return inline(value)
    return yaml.safe_dump(value, width=10**6, allow_unicode=True).removesuffix("\n...\n").rstrip("\n")


def comments(text: str) -> list[str]:
    """The lines that are comments."""
    return [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]


def _block(path: Path, value: object, comment: str, column: int) -> list[str]:
    """Nested lines down to the value, which stands behind its key; the comment above that."""
    lines = [" " * (column + INDENT * depth) + f"{inline(key)}:" for depth, key in enumerate(path)]
    lines[-1] += f" {plain(value)}"
    indent = " " * (column + INDENT * (len(path) - 1))
    return [*lines[:-1], *(f"{indent}# {line}" for line in comment.splitlines()), lines[-1]]


def _nested(path: Path, value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _load(text: str) -> dict[str, Any] | None:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return found if isinstance(found, dict) else {} if found is None else None


def _with(data: Mapping[str, Any], path: Path, value: object) -> dict[str, Any]:
    if len(path) == 1:
        return {**data, path[0]: value}
    inner = data.get(path[0])
    if inner is not None and not isinstance(inner, dict):
        return {**data}
    return {**data, path[0]: _with(inner or {}, path[1:], value)}


def _without(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if len(path) == 1:
        return {key: value for key, value in data.items() if key != path[0]}
    return {**data, path[0]: _without(data[path[0]], path[1:])}
