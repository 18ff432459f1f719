"""Workflows back to YAML, in the one dialect: `check` reads the same workflows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import yaml

from dstack_cloud.domain.parsing.model import (
    NO_RETRY,
    Body,
    Dependencies,
    Dependency,
    Gpu,
    Parameter,
    Resources,
    Retry,
    Sweep,
    Workflow,
)
from dstack_cloud.domain.sizes import exact_size
from dstack_cloud.domain.variables import GLOBAL, Variables


def dump(workflows: Sequence[Workflow]) -> str:
    """YAML with `workflows:`; fields that have their default are left out."""
    tree = {"workflows": [_workflow(workflow) for workflow in workflows]}
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)


def dump_variables(variables: Variables) -> str:
    """YAML with `variables:`; every value in quotes, so that it is read as the text it is."""
    tree = {**({GLOBAL: variables.shared} if variables.shared else {}), **variables.own}
    plain = {
        section: {name: _variable(value, variables.help.get(section, {}).get(name, "")) for name, value in own.items()}
        for section, own in tree.items()
    }
    return yaml.dump({"variables": plain}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)


class _Quoted(str):
    pass


def _variable(value: str, told: str) -> Any:  # noqa: ANN401
    return {"default": _Quoted(value), "help": _Quoted(told)} if told else _Quoted(value)


class _Dumper(yaml.SafeDumper):
    """Double quotes where the other styles would fold Unicode's line breaks into plain ones."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = '"' if any(char in text for char in "\x85\u2028\u2029\r") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(
    _Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
)


def _workflow(workflow: Workflow) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, field in Body.model_fields.items():
        value = getattr(workflow, name)
        if value != field.get_default(call_default_factory=True):
            tree[name] = _WRITERS.get(name, _plain)(value)
    for place, given in workflow.deferred.items():
        section, _, name = place.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = _plain(given)
    return tree | {name: _plain(value) for name, value in workflow.options.items()}


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.model_dump(exclude_defaults=True) if hasattr(value, "model_dump") else value


def _resources(value: Resources) -> dict[str, Any]:
    tree: dict[str, Any] = value.model_dump(exclude_defaults=True, exclude={"gpu", "max_price"}, mode="json")
    for name in ("memory", "shm_size", "disk"):
        if name in tree:
            tree[name] = exact_size(tree[name])
    if value.gpu is not None:
        tree["gpu"] = _gpu(value.gpu)
    if value.max_price is not None:
        tree["max_price"] = f"{value.max_price:.12f}".rstrip("0")
    return tree


def _gpu(value: Gpu) -> dict[str, Any]:
    tree: dict[str, Any] = value.model_dump(exclude_none=True)
    return tree | ({"memory": exact_size(value.memory)} if value.memory else {})


def _dependencies(value: Dependencies) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    if value.include is not None:
        tree["repo"] = {"include": list(value.include)}
    if value.variables is not None:
        tree["variables"] = list(value.variables)
    return tree | {"workflows": [_dependency(each) for each in value.on]}


def _dependency(value: Dependency) -> Any:  # noqa: ANN401
    if value.how == "run":
        return value.workflow
    mount = {"mount": True} if value.mount else {}
    if value.how == "last":
        return {"workflow": value.workflow} | mount
    return {"tag": f"{value.workflow}:{value.tag}" if value.workflow else value.tag} | mount


def _sweep(value: Sweep) -> dict[str, Any]:
    tree: dict[str, Any] = value.model_dump(exclude_defaults=True, exclude={"parameters"})
    return tree | {"parameters": {name: _parameter(each) for name, each in value.parameters.items()}}


def _parameter(value: Parameter) -> Any:  # noqa: ANN401
    return list(value.values) if value.values is not None else value.model_dump(exclude_defaults=True)


def _retry(value: Retry) -> Any:  # noqa: ANN401
    return False if value == NO_RETRY else True if value.duration is None else value.duration


_WRITERS: dict[str, Callable[[Any], Any]] = {
    "resources": _resources,
    "deps": _dependencies,
    "sweep": _sweep,
    "retry": _retry,
    "ports": lambda ports: [f"{port.app}:{port.local}" for port in ports],
}
