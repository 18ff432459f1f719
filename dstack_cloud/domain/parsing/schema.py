"""The JSON Schema of a file of workflows, for editors (draft 7, which they all know)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack_cloud.domain.parsing.known import BUILT_IN, DESCRIBED, SYNONYMS
from dstack_cloud.domain.parsing.model import WorkflowsFile
from dstack_cloud.providers.description import Description
from dstack_cloud.providers.place import OWN_PATTERN

_KINDS: dict[str, dict[str, Any]] = {
    "path": {"type": "string"},
    "text": {"type": ["string", "number"]},
    "words": {"type": ["string", "array"], "items": {"type": ["string", "number", "boolean"]}},
}


def json_schema() -> dict[str, Any]:
    """Every field has a description, and no other field is allowed; fields of some providers only are bound to them."""
    schema = WorkflowsFile.model_json_schema()
    workflow = schema["$defs"]["Body"]
    workflow["title"] = "Workflow"
    properties = workflow["properties"]
    for older, name in SYNONYMS.items():
        properties[older] = {**properties[name], "description": f"Another spelling of `{name}`."}
    for key in BUILT_IN.keys:
        properties[key] = _option(key, properties)
    bound = [_bound(key, BUILT_IN.owners(key)) for key in BUILT_IN.keys]
    needing = (_needing(described) for described in DESCRIBED.values() if _wanted(described))
    workflow["allOf"] = [*bound, *needing, _closed(list(properties))]
    for section in schema["$defs"].values():
        _may_be_empty(section)
    del workflow["additionalProperties"]
    schema["patternProperties"] = {"^x-": {"description": "A place for anchors; not read otherwise."}}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def _may_be_empty(section: dict[str, Any]) -> None:
    """A field without a value is as if it weren't there, so only where it must be, it must have one."""
    fields = section.get("properties", {})
    for name in fields.keys() - set(section.get("required", ())):
        shape = dict(fields[name])
        told = {key: shape.pop(key) for key in ("description", "default", "title") if key in shape}
        fields[name] = {**told, "anyOf": [shape, {"type": "null"}]}


def _option(key: str, common: Mapping[str, Any]) -> dict[str, Any]:
    name = BUILT_IN.becomes(key)
    option = BUILT_IN.option(name)
    if option is None:
        return {**common[name], "description": f"Another spelling of `{name}`."}
    text = option.description if key == name else f"Another spelling of `{name}`."
    return {**_KINDS[option.kind], "description": f"{text} Providers: {', '.join(BUILT_IN.owners(key))}."}


def _wanted(described: Description) -> list[tuple[str, ...]]:
    """For each field that must be there, the ways to spell it."""
    options = [(name, *option.also) for name, option in described.options.items() if option.required]
    return [*((name,) for name in described.needs), *options]


def _needing(described: Description) -> dict[str, Any]:
    condition = {"properties": {"provider": {"const": described.name}}, "required": ["provider"]}
    wanted = [{"anyOf": [{"required": [key]} for key in spellings]} for spellings in _wanted(described)]
    return {"if": condition, "then": {"allOf": wanted}}


def _closed(names: list[str]) -> dict[str, Any]:
    """No other fields, unless the provider is one of the user's own, which may have any."""
    own = {"properties": {"provider": {"pattern": OWN_PATTERN}}, "required": ["provider"]}
    return {"if": own, "else": {"propertyNames": {"enum": names}}}


def _bound(field: str, providers: list[str]) -> dict[str, Any]:
    """A provider of the user's own may have a field of any name."""
    own = {"pattern": OWN_PATTERN}
    then = {"properties": {"provider": {"anyOf": [{"enum": providers}, own]}}, "required": ["provider"]}
    return {"if": {"required": [field]}, "then": then}
