"""The language in which a listing is asked to leave something out.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/list, `filter`: `name = x`, `labels.key:*`, `(a=b) (c=d)`, `AND`, `OR`,
`NOT`, and the older `name eq 'a.*'`, an expression over the whole value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.gcp.wire import Json, Refusal

Test = Callable[[Json], bool]
_TOKEN = re.compile(r"""\s*(\(|\)|!=|<=|>=|=|:|<|>|"[^"]*"|'[^']*'|[^\s()=:!<>"']+)""")
_WORDS = {"AND", "OR", "NOT"}
_COMPARE = {"=": "eq", "!=": "ne", ":": "has", "eq": "matches", "ne": "differs"}


def parse(text: str) -> Test:
    """Raises Refusal."""
    if not text.strip():
        return lambda document: True
    parser = _Parser(text, _tokens(text))
    test = parser.either()
    if parser.at < len(parser.tokens):
        raise _bad(text)
    return test


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text.rstrip()):
        token = _TOKEN.match(text, at)
        if token is None:
            raise _bad(text)
        found.append(token[1])
        at = token.end()
    return found


def _bad(text: str) -> Refusal:
    return Refusal(400, f"Invalid value for field 'filter': '{text}'. Invalid list filter expression.")


@dataclass
class _Parser:
    text: str
    tokens: list[str]
    at: int = 0

    def either(self) -> Test:
        left = self.both()
        while self._taken("OR"):
            left = _any(left, self.both())
        return left

    def both(self) -> Test:
        """`AND` may be left out."""
        left = self.one()
        while self._taken("AND") or self._peek() not in ("", ")", "OR"):
            left = _all(left, self.one())
        return left

    def one(self) -> Test:
        if self._taken("NOT"):
            return _not(self.one())
        if self._taken("("):
            inside = self.either()
            if not self._taken(")"):
                raise _bad(self.text)
            return inside
        return self._comparison()

    def _comparison(self) -> Test:
        field, operator, value = self._next(), self._next(), self._next()
        if not re.fullmatch(r"[\w.\-]+", field) or operator not in _COMPARE or value in _WORDS | {"(", ")"}:
            raise _bad(self.text)
        value = value[1:-1] if value[0] in "\"'" else value
        return _comparison(field, _COMPARE[operator], value)

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise _bad(self.text)
        self.at += 1
        return token

    def _taken(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self.at += 1
        return True


def _any(left: Test, right: Test) -> Test:
    return lambda document: left(document) or right(document)


def _all(left: Test, right: Test) -> Test:
    return lambda document: left(document) and right(document)


def _not(inside: Test) -> Test:
    return lambda document: not inside(document)


def _comparison(field: str, kind: str, wanted: str) -> Test:
    def test(document: Json) -> bool:
        found: object = document
        for part in field.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        text = "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)
        if kind == "has":
            return found is not None and (wanted == "*" or wanted.rstrip("*") in text)
        if kind in ("matches", "differs"):
            return (found is not None and re.fullmatch(wanted, text) is not None) == (kind == "matches")
        return (found is not None and text == wanted) == (kind == "eq")

    return test
