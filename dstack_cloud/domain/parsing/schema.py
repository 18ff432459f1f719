"""The JSON Schema of a file of workflows, for editors (draft 7, which they all know)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack_cloud.domain.parsing.known import BUILT_IN, SYNONYMS, Known
from dstack_cloud.domain.parsing.model import WorkflowsFile
from dstack_cloud.providers.description import Description
from dstack_cloud.providers.place import OWN_PATTERN

_IN_A_FILE = {"type": "string", "pattern": OWN_PATTERN}
_KINDS: dict[str, dict[str, Any]] = {
    "path": {"type": "string"},
    "text": {"type": ["string", "number"]},
    "words": {"type": ["string", "array"], "items": {"type": ["string", "number", "boolean"]}},
}


def json_schema(known: Known = BUILT_IN) -> dict[str, Any]:
    """Every field has a description, and no other field is allowed; fields of some providers only are bound to them. `known`
    are the providers that a name alone stands for."""
    schema = WorkflowsFile.model_json_schema()
    workflow = schema["$defs"]["Body"]
    workflow["title"] = "Workflow"
    properties = workflow["properties"]
    for older, name in SYNONYMS.items():
        properties[older] = {**properties[name], "description": f"Another spelling of `{name}`."}
    properties["provider"] |= {"anyOf": [{"enum": [*known.names, *known.failures]}, _IN_A_FILE]}
    for key in known.keys:
        properties[key] = _option(key, properties, known)
    bound = [_bound(key, known) for key in known.keys]
    needing = (_needing(known.of(name)) for name in known.names if _wanted(known.of(name)))
    workflow["allOf"] = [*bound, *needing, _closed(list(properties), known)]
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


def _option(key: str, common: Mapping[str, Any], known: Known) -> dict[str, Any]:
    name = known.becomes(key)
    option = known.option(name)
    if option is None:
        return {**common[name], "description": f"Another spelling of `{name}`."}
    text = option.description if key == name else f"Another spelling of `{name}`."
    return {**_KINDS[option.kind], "description": f"{text} Providers: {', '.join(known.owners(key))}."}


def _wanted(described: Description) -> list[tuple[str, ...]]:
    """For each field that must be there, the ways to spell it."""
    options = [(name, *option.also) for name, option in described.options.items() if option.required]
    return [*((name,) for name in described.needs), *options]


def _needing(described: Description) -> dict[str, Any]:
    condition = {"properties": {"provider": {"const": described.name}}, "required": ["provider"]}
    wanted = [{"anyOf": [{"required": [key]} for key in spellings]} for spellings in _wanted(described)]
    return {"if": condition, "then": {"allOf": wanted}}


def _any_fields(known: Known) -> dict[str, Any]:
    """The providers that may have fields of any name: in a file of the user's own, and those that couldn't be asked."""
    return {"anyOf": [_IN_A_FILE, *({"const": name} for name in known.failures)]}


def _closed(names: list[str], known: Known) -> dict[str, Any]:
    """No other fields, unless the provider may have any."""
    open_ones = {"properties": {"provider": _any_fields(known)}, "required": ["provider"]}
    return {"if": open_ones, "else": {"propertyNames": {"enum": names}}}


def _bound(field: str, known: Known) -> dict[str, Any]:
    providers = {"anyOf": [{"enum": known.owners(field)}, *_any_fields(known)["anyOf"]]}
    then = {"properties": {"provider": providers}, "required": ["provider"]}
    return {"if": {"required": [field]}, "then": then}
