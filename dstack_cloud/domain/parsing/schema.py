"""The JSON Schema of a file of workflows, for editors (draft 7, which they all know)."""

from __future__ import annotations

from typing import Any

from dstack_cloud.domain.parsing.known import OPTIONS, SYNONYMS
from dstack_cloud.domain.parsing.model import WorkflowsFile

_KINDS: dict[str, dict[str, Any]] = {
    "path": {"type": "string"},
    "text": {"type": ["string", "number"]},
    "texts": {"type": ["string", "array"], "items": {"type": ["string", "number", "boolean"]}},
}


def json_schema() -> dict[str, Any]:
    """Every field has a description, and no other field is allowed; fields of some providers only are bound to them."""
    schema = WorkflowsFile.model_json_schema()
    workflow = schema["$defs"]["Body"]
    workflow["title"] = "Workflow"
    properties = workflow["properties"]
    for older, name in SYNONYMS.items():
        properties[older] = {**properties[name], "description": f"Another spelling of `{name}`."}
    for name, option in OPTIONS.items():
        properties[name] = {
            **_KINDS[option.kind],
            "description": f"{option.description} Providers: {', '.join(option.providers)}.",
        }
    workflow["allOf"] = [_bound(name, list(option.providers)) for name, option in OPTIONS.items()]
    schema["patternProperties"] = {"^x-": {"description": "A place for anchors; not read otherwise."}}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def _bound(field: str, providers: list[str]) -> dict[str, Any]:
    then = {"properties": {"provider": {"enum": providers}}, "required": ["provider"]}
    return {"if": {"required": [field]}, "then": then}
