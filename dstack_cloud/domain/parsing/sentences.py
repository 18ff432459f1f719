"""Pydantic's errors as findings in plain words; its own texts are never shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dstack_cloud.domain.parsing.known import SYNONYMS
from dstack_cloud.domain.parsing.model import SECTIONS, Body
from dstack_cloud.domain.parsing.problems import Finding, Path, nearest
from dstack_cloud.domain.parsing.values import ERROR_TYPE, found

UNKNOWN = "is an unknown field"
_MAPPING_WANTED = {"model_type", "model_attributes_type", "dict_type", "mapping_type"}


def findings(error: ValidationError, options: Iterable[str]) -> Iterator[Finding]:
    for detail in error.errors(include_url=False):
        at = tuple(detail["loc"])
        if detail["type"] == ERROR_TYPE:
            inner: tuple[Finding, ...] = detail["ctx"]["findings"]
            for each in inner:
                yield Finding((*at, *each.at), each.text, each.hint, each.on_key)
        else:
            yield _of_pydantic(detail, at, options)


def _of_pydantic(detail: ErrorDetails, at: Path, options: Iterable[str]) -> Finding:
    kind = detail["type"]
    if kind == "missing":
        return Finding(at[:-1], f"has no `{at[-1]}`", f"add `{at[-1]}:`")
    if kind == "extra_forbidden":
        return _unknown(at, options)
    if kind in _MAPPING_WANTED:
        names = ", ".join(_fields_at(at, options))
        return Finding(
            at, f"must be a mapping, found {found(detail['input'])}", f"its fields: {names}" if names else None
        )
    return Finding(at, f"has a value that can't be used: {found(detail['input'])}")


def _unknown(at: Path, options: Iterable[str]) -> Finding:
    names = _fields_at(at[:-1], options)
    near = nearest(str(at[-1]), names)
    hint = f"did you mean `{near}`?" if near else f"fields that exist here: {', '.join(names)}"
    return Finding(at, UNKNOWN, hint, on_key=True)


def _fields_at(at: Path, options: Iterable[str]) -> list[str]:
    section = next((part for part in reversed(at) if isinstance(part, str)), None)
    if section is None:
        return [*Body.model_fields, *SYNONYMS, *options]
    return list(SECTIONS[section].model_fields) if section in SECTIONS else []
