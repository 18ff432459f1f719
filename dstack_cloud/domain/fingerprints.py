"""What may change the outputs of a job, put into words that can be compared. Pure.

Every part is a keyed hash: what is compared may be a secret, and a short one could be found out from a plain hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.resources import GpuRequirement

Keyed = Callable[[bytes], str]

# the fields that don't change what a job makes; what is said in `deps` counts by itself
_WITHOUT_EFFECT = frozenset(
    {
        "help",
        "file",
        "line",
        "lines",
        "deferred",
        "deps",
        "env",
        "resources",
        "retry",
        "max_duration",
        "schedule",
        "ports",
        "cache",
    }
    | {"registry_auth"}
)
CODE = "code"
WORKFLOW = "workflow"
ARGS = "args"
PROGRAM = "program"
# one encoder for all: `json.dumps` makes a new one for each text
_written = json.JSONEncoder(sort_keys=True).encode
_VARIABLE, _ENVIRONMENT = "variable ", "environment "


@dataclass(frozen=True)
class Inputs:
    """Beside the workflow's fields: `code` stands for the content that it depends on, `program` for what its provider makes of
    it, `env` is all of the job's environment that the user chose."""

    code: str
    program: str
    gpu: GpuRequirement | None
    variables: Mapping[str, str]
    env: Mapping[str, str]
    args: Sequence[str]


def parts_of(workflow: Workflow, inputs: Inputs, keyed: Keyed) -> dict[str, str]:
    definition = workflow.model_dump(mode="json", exclude=set(_WITHOUT_EFFECT))
    definition["gpu"] = None if inputs.gpu is None else inputs.gpu.model_dump(mode="json")
    plain = {
        WORKFLOW: _written(definition),
        CODE: inputs.code,
        ARGS: json.dumps(list(inputs.args)),
        **{f"{_VARIABLE}{name}": value for name, value in inputs.variables.items()},
        **{f"{_ENVIRONMENT}{name}": value for name, value in inputs.env.items()},
        PROGRAM: inputs.program,
    }
    return {name: keyed(value.encode("utf-8", "surrogateescape")) for name, value in plain.items()}


def fingerprint(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(_written(parts).encode()).hexdigest()


def difference(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """ "the code changed", "variable model changed", … of the first that differs."""
    changed = [name for name in (*now, *then) if then.get(name) != now.get(name)]
    if not changed:
        return ""
    name = changed[0]
    if name == ARGS:
        return "its arguments changed"
    if name == PROGRAM:
        return "what its provider makes of it changed"
    return f"{'the ' if name in (CODE, WORKFLOW) else ''}{name.strip()} changed"


def code_of(workflow: Workflow, whole: str, contents: Mapping[str, str]) -> str:
    """What of the working folder it depends on: by default all of it but the workflow files, whose part is compared
    by itself.

    `contents`: digests by path, "." for all; where one is missing the whole snapshot counts.
    """
    paths = [EVERYTHING] if workflow.deps.include is None else list(workflow.deps.include)
    if any(path not in contents for path in paths):
        return whole
    return json.dumps({path: contents[path] for path in sorted(paths)})


EVERYTHING = "."


def paths_of(workflows: Sequence[Workflow]) -> list[str]:
    """The paths whose digests `code_of` asks for."""
    found = [workflow.deps.include if workflow.deps.include is not None else (EVERYTHING,) for workflow in workflows]
    return list(dict.fromkeys(path for paths in found for path in paths))
