"""The JSON Schema that editors use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from dstack_cloud.domain import parsing
from dstack_cloud.domain.parsing.known import BUILT_IN, SYNONYMS
from dstack_cloud.domain.parsing.model import Body


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from _objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _objects(part)


def test_it_is_json_and_names_its_draft() -> None:
    schema = json.loads(json.dumps(parsing.json_schema()))
    assert schema["$schema"].endswith("draft-07/schema#")


def test_no_other_field_is_allowed_and_each_is_described() -> None:
    schema = parsing.json_schema()
    workflow = schema["$defs"]["Body"]
    for each in _objects(schema):
        assert each is workflow or each["additionalProperties"] is False
        assert all(field.get("description") for field in each["properties"].values())


def test_every_spelling_that_is_read_is_in_it() -> None:
    workflow = parsing.json_schema()["$defs"]["Body"]
    assert set(workflow["properties"]) == {*Body.model_fields, *SYNONYMS, *BUILT_IN.keys}
    assert workflow["required"] == ["name"]


def test_every_reference_leads_somewhere() -> None:
    schema = parsing.json_schema()
    text = json.dumps(schema)
    named = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert named == set(schema["$defs"]) - ({"WorkflowsFile"} - named)


ACCEPTED = """
name: w
commands: [ls, 3]
deps:
resources: {cpu: '2', gpu: {count: '1', memory: 16GB}, max_price: '1.5', spot_policy: auto, regions: eu-west-1, disk:}
working_dir:
env: [A=1, B]
artifacts: {path: out, mount: true}
cache: {path: ~/.cache}
nodes: '2'
ports: ["8000:80", 3]
max_duration: 2h
retry: true
python: 3.12
help:
"""


def test_what_the_parser_takes_the_schema_takes_too() -> None:
    """An empty field, one thing instead of a list, a number between quotes."""
    validator = jsonschema.Draft7Validator(parsing.json_schema())
    fields = yaml.safe_load(ACCEPTED)
    for name, value in fields.items():
        written = yaml.safe_dump({"workflows": [{"name": "w", "commands": "ls", name: value}]})
        assert not parsing.check([("workflows.yaml", written)]).problems, name
        assert list(validator.iter_errors(yaml.safe_load(written))) == [], name


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({"provider": "python", "file": "a.py", "args": ["a", 1]}, True),
        ({"provider": "python", "script": "a.py", "version": "3.10"}, True),
        ({"provider": "python"}, False),
        ({"provider": "python", "file": "a.py", "fiel": "b"}, False),
        ({"provider": "bash", "commands": "x", "file": "a.py"}, False),
        ({"commands": "x", "comands": "x"}, False),
        ({"provider": "nope"}, False),
        ({"provider": "./mine.py:Mine", "anything": "x", "file": "y"}, True),
    ],
)
def test_an_editor_finds_what_is_missing_or_misspelled(fields: dict[str, Any], good: bool) -> None:
    validator = jsonschema.Draft7Validator(parsing.json_schema())
    assert validator.is_valid({"workflows": [{"name": "w", **fields}]}) is good
