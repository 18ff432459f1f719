"""Documents that are sent and answered, checked against a service's schemas.

What a request may hold: https://cloud.google.com/apis/design/standard_fields; fields that only the service sets are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.fakes.gcp.description import Method
from tests.fakes.gcp.wire import Json, Refusal

WHOLE = {"int32": (-(2**31), 2**31), "uint32": (0, 2**32), "int64": (-(2**63), 2**63), "uint64": (0, 2**64)}
PYTHON = {"object": dict, "array": list, "string": str, "boolean": bool}
_DIGITS = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Problem:
    """`where` is the path inside the document, "" for its top."""

    where: str
    message: str
    reason: str


@dataclass(frozen=True)
class Shapes:
    """The schemas of one service, for one method, and one direction: a request says no more than it must, an answer neither."""

    schemas: Mapping[str, Json]
    method: Method

    def read(self, body: object) -> Json:
        """A request without what only the service sets. Raises Refusal."""
        schema = self.schemas[self.method.request]
        for problem in self._problems(schema, body, "resource", asked=True):
            details = ({"@type": BAD_REQUEST, "fieldViolations": [_violation(problem)]},)
            raise Refusal(400, problem.message, problem.reason, details=details)
        writable = self._writable(schema, body)
        assert isinstance(writable, dict)
        return writable

    def problems_of(self, answer: object) -> list[str]:
        """Of the emulation, not of who asked."""
        found = self._problems(self.schemas[self.method.response], answer, "answer", asked=False)
        return [f"{problem.where}: {problem.message}" for problem in found]

    def _problems(self, schema: Json, value: object, where: str, *, asked: bool) -> Iterator[Problem]:
        schema = self._resolved(schema)
        kind = schema.get("type", "any")
        if kind in ("integer", "number") or schema.get("format") in WHOLE:
            yield from _number_problems(schema, value, where, asked=asked)
        elif kind in PYTHON and not isinstance(value, PYTHON[kind]):
            yield Problem(where, _unexpected(where, value), "badRequest")
        elif isinstance(value, dict) and kind == "object":
            yield from self._object_problems(schema, value, where, asked=asked)
        elif isinstance(value, list) and kind == "array":
            for index, each in enumerate(value):
                yield from self._problems(schema["items"], each, f"{where}[{index}]", asked=asked)
        elif isinstance(value, str):
            yield from _text_problems(schema, value, where, asked=asked)

    def _object_problems(self, schema: Json, value: Json, where: str, *, asked: bool) -> Iterator[Problem]:
        known = schema.get("properties", {})
        for name, described in known.items() if asked else ():
            if self.method.id in described.get("annotations", {}).get("required", ()) and name not in value:
                yield Problem(f"{where}.{name}", f"Required field '{where}.{name}' not specified", "required")
        for name, each in value.items():
            described = known.get(name, schema.get("additionalProperties"))
            if described is None:
                place = f" at '{where}'" if where != "resource" else ""
                message = f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
                yield Problem(f"{where}.{name}", message, "badRequest")
            elif not (asked and described.get("readOnly")):
                yield from self._problems(described, each, f"{where}.{name}", asked=asked)

    def _writable(self, schema: Json, value: object) -> object:
        schema = self._resolved(schema)
        if isinstance(value, list):
            return [self._writable(schema["items"], each) for each in value]
        if not isinstance(value, dict) or "properties" not in schema:
            return value
        known = schema["properties"]
        asked = {name: each for name, each in value.items() if not known.get(name, {}).get("readOnly")}
        return {name: self._writable(known[name], each) if name in known else each for name, each in asked.items()}

    def _resolved(self, schema: Json) -> Json:
        return self.schemas[schema["$ref"]] if "$ref" in schema else schema


BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def _violation(problem: Problem) -> Json:
    return {"field": problem.where.removeprefix("resource."), "description": problem.message}


def _number_problems(schema: Json, value: object, where: str, *, asked: bool) -> Iterator[Problem]:
    """Numbers of 64 bits are texts in JSON; who asks may write either."""
    as_text = schema.get("type") == "string"
    if isinstance(value, str) and (as_text or asked) and _DIGITS.fullmatch(value):
        value = int(value)
    elif as_text and not asked:
        value = None
    low, high = WHOLE.get(schema.get("format", ""), (float("-inf"), float("inf")))
    fits = isinstance(value, int) or (isinstance(value, float) and schema.get("format") not in WHOLE)
    if isinstance(value, bool) or not fits or not low <= value < high:  # type: ignore[operator]
        yield Problem(where, _unexpected(where, value), "badRequest")


def _text_problems(schema: Json, value: str, where: str, *, asked: bool) -> Iterator[Problem]:
    if "enum" in schema and value not in schema["enum"] and value != schema.get("default"):
        yield Problem(where, f"Invalid value for field '{where}': '{value}'. Unknown enum value.", "invalid")
    elif asked and "pattern" in schema and not re.fullmatch(schema["pattern"], value):
        wish = f"Must be a match of regex '{schema['pattern']}'"
        yield Problem(where, f"Invalid value for field '{where}': '{value}'. {wish}", "invalid")


def _unexpected(where: str, value: object) -> str:
    return f"Invalid value at '{where}': {value!r}. Starting an object, a list or a value of another type was expected."
