"""The part of the Common Expression Language in which conditions of IAM and access boundaries are usually written.

https://cloud.google.com/iam/docs/conditions-overview, .../conditions-attribute-reference and, for boundaries,
https://cloud.google.com/iam/docs/downscoping-short-lived-credentials#components. What isn't known here is refused, never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

# attributes by name ("resource.name"), and those that `api.getAttribute` gives
Facts = dict[str, str]
Test = Callable[[Facts], bool]
Text = Callable[[Facts], str]
_TOKEN = re.compile(r"""\s*(&&|\|\||==|!=|[!().,]|"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z_]\w*)""")
ATTRIBUTES = ("resource.name", "resource.type", "resource.service")


def parse(text: str) -> Test:
    """Raises ValueError, with what is wrong."""
    parser = _Parser(text)
    test = parser.either()
    if parser.peek():
        raise ValueError(f"unexpected {parser.peek()!r} in condition {text!r}")
    return test


@dataclass
class _Parser:
    text: str
    at: int = 0
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        end, text = 0, self.text.rstrip()
        while end < len(text):
            token = _TOKEN.match(text, end)
            if token is None:
                raise ValueError(f"unexpected {text[end:].strip()[:1]!r} in condition {self.text!r}")
            self.tokens.append(token[1])
            end = token.end()

    def either(self) -> Test:
        left = self._both()
        while self._taken("||"):
            left = _any(left, self._both())
        return left

    def _both(self) -> Test:
        left = self._one()
        while self._taken("&&"):
            left = _all(left, self._one())
        return left

    def _one(self) -> Test:
        if self._taken("!"):
            return _not(self._one())
        if self._taken("("):
            inside = self.either()
            self._expect(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Test:
        value = self._attribute()
        while self._taken("."):
            method = self._next()
            self._expect("(")
            argument = self._literal()
            self._expect(")")
            if method == "startsWith":
                return lambda facts: value(facts).startswith(argument)
            if method == "endsWith":
                return lambda facts: value(facts).endswith(argument)
            if method != "extract":
                raise ValueError(f"undeclared reference to {method!r} in condition {self.text!r}")
            value = _extracted(value, argument)
        operator, other = self._next(), self._literal()
        if operator not in ("==", "!="):
            raise ValueError(f"unexpected {operator!r} in condition {self.text!r}")
        return lambda facts: (value(facts) == other) == (operator == "==")

    def _attribute(self) -> Text:
        """`resource.name`, or `api.getAttribute("name", "default")`."""
        name = f"{self._next()}{self._next()}{self._next()}"
        if name == "api.getAttribute":
            self._expect("(")
            asked = self._literal()
            self._expect(",")
            default = self._literal()
            self._expect(")")
            return lambda facts: facts.get(asked, default)
        if name not in ATTRIBUTES:
            raise ValueError(f"undeclared reference to {name!r} in condition {self.text!r}")
        return lambda facts: facts.get(name, "")

    def _literal(self) -> str:
        token = self._next()
        if token[0] == "'":
            return token[1:-1]
        if token[0] != '"':
            raise ValueError(f"unexpected {token!r} in condition {self.text!r}")
        return str(json.loads(token))

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _next(self) -> str:
        token = self.peek()
        if not token:
            raise ValueError(f"condition {self.text!r} ends too early")
        self.at += 1
        return token

    def _taken(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.at += 1
        return True

    def _expect(self, token: str) -> None:
        found = self._next()
        if found != token:
            raise ValueError(f"unexpected {found!r} in condition {self.text!r}")


def _any(left: Test, right: Test) -> Test:
    return lambda facts: left(facts) or right(facts)


def _all(left: Test, right: Test) -> Test:
    return lambda facts: left(facts) and right(facts)


def _not(inside: Test) -> Test:
    return lambda facts: not inside(facts)


def _extracted(value: Text, template: str) -> Text:
    """https://cloud.google.com/iam/docs/conditions-attribute-reference#extract: "" where nothing fits."""
    before, _, rest = template.partition("{")
    after = rest.partition("}")[2]

    def extract(facts: Facts) -> str:
        _, found, behind = value(facts).partition(before)
        if not found and before:
            return ""
        inside, ended, _ = behind.partition(after) if after else (behind, "yes", "")
        return inside if ended else ""

    return extract
