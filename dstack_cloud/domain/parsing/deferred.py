"""Fields that can be read only once the values of variables are known, such as `memory: ${{ memory }}`.

A variable may stand for a port, a size, a count, a price or a time. Such a field is taken out of the workflow as it stands in the file,
and read as if the value stood there when a job is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from dstack_cloud.domain.interpolation import mentions
from dstack_cloud.domain.parsing import sentences
from dstack_cloud.domain.parsing.model import Body, Workflow
from dstack_cloud.domain.parsing.problems import Finding, written
from dstack_cloud.domain.parsing.source import Fields, Items, Mark, Scalar, Tree, plain_scalar
from dstack_cloud.domain.variables import KNOWN_NAMES
from dstack_cloud.errors import ConfigurationError

RESOURCES = "resources"
_FIELDS = ("ports", "max_duration", "retry", "python")
_OF_RESOURCES = ("cpu", "memory", "gpu", "shm_size", "disk", "max_price", "spot_policy")
_NAME = re.compile(r"\$\{\{|\$[A-Za-z_]")
_NOWHERE = Mark(0, 0)


def set_aside(workflow: Fields) -> tuple[Fields, dict[str, Tree]]:
    """The workflow without such fields, and these by their place (`resources.memory`)."""
    rest, aside = _without(workflow, _FIELDS, "")
    resources = workflow.get(RESOURCES)
    if isinstance(resources, Fields):
        left, more = _without(resources, _OF_RESOURCES, f"{RESOURCES}.")
        if more:
            rest = rest if aside else _copied(rest)
            rest[RESOURCES] = left
            aside |= more
    return rest, aside


def _without(fields: Fields, names: tuple[str, ...], prefix: str) -> tuple[Fields, dict[str, Tree]]:
    aside = {f"{prefix}{name}": fields[name] for name in names if name in fields and _is_variable(fields[name])}
    if not aside:
        return fields, {}
    rest = _copied(fields)
    for place in aside:
        del rest[place.removeprefix(prefix)]
    return rest, aside


def _copied(fields: Fields) -> Fields:
    copy = Fields(fields.mark, fields.flow)
    copy.update(fields)
    copy.key_marks = fields.key_marks
    return copy


def _is_variable(tree: Tree) -> bool:
    """What is known of a run only, such as its name, is none."""
    texts = list(_texts(tree))
    return any(map(_NAME.search, texts)) and not any(mentions(text, name) for text in texts for name in KNOWN_NAMES)


def _texts(tree: Tree) -> Iterator[Scalar]:
    if isinstance(tree, Scalar):
        yield tree
    else:
        for item in tree.values() if isinstance(tree, Fields) else tree:
            yield from _texts(item)


def raw(tree: Tree) -> Any:  # noqa: ANN401 - what YAML's plain values are
    """Without marks: texts, lists and mappings; None for nothing."""
    if isinstance(tree, Fields):
        return {key: raw(value) for key, value in tree.items()}
    if isinstance(tree, Items):
        return tuple(map(raw, tree))
    return None if tree.kind == "null" else str(tree)


def settled(workflow: Workflow, fill: Callable[[str], str]) -> Workflow:
    """With these fields read, now that `fill` puts values into a text. Raises ConfigurationError, also what `fill` raises."""
    if not workflow.deferred:
        return workflow
    try:
        body = _read(workflow.deferred, fill)
    except ValidationError as error:
        raise _refused(_first(error), workflow.deferred) from None
    top = [place for place in workflow.deferred if "." not in place]
    update: dict[str, object] = {name: getattr(body, name) for name in top}
    below = [place.partition(".")[2] for place in workflow.deferred if "." in place]
    resources = workflow.resources.model_copy(update={name: getattr(body.resources, name) for name in below})
    return workflow.model_copy(update={**update, RESOURCES: resources, "deferred": {}})


def misread(workflow: Workflow, fill: Callable[[str], str]) -> Finding | None:
    """What is wrong with the values that `fill` puts in; an empty one will be given later. Raises what `fill` raises."""
    given = {place: each for place, each in workflow.deferred.items() if all(fill(text) for text in _given_texts(each))}
    try:
        _read(given, fill)
    except ValidationError as error:
        found = _first(error)
        return replace(found, hint=found.hint or _came(found, given))
    return None


def _given_texts(given: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(given, (dict, tuple)):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _given_texts(each)
    elif given is not None:
        yield given


def _read(deferred: Mapping[str, Any], fill: Callable[[str], str]) -> Body:
    """Raises ValidationError, and what `fill` raises."""
    tree = Fields(_NOWHERE, flow=False)
    tree.put("name", plain_scalar("it", _NOWHERE), _NOWHERE)
    for place, given in deferred.items():
        head, _, field = place.partition(".")
        if field and head not in tree:
            tree.put(head, Fields(_NOWHERE, flow=False), _NOWHERE)
        (tree[head] if field else tree).put(field or head, _tree(given, fill), _NOWHERE)
    return Body.model_validate(tree)


def _first(error: ValidationError) -> Finding:
    return next(sentences.findings(error, ()))


def _refused(finding: Finding, deferred: Mapping[str, Any]) -> ConfigurationError:
    place, below = _place(finding)
    text = f"`{place}`{f', `{below}`' if below else ''} {finding.text}"
    return ConfigurationError(text, finding.hint or _came(finding, deferred))


def _place(finding: Finding) -> tuple[str, str]:
    """That of what was set aside, and where in it."""
    end = 2 if finding.at[0] == RESOURCES else 1
    return written(finding.at[:end]), written(finding.at[end:])


def _came(finding: Finding, deferred: Mapping[str, Any]) -> str | None:
    given = deferred.get(_place(finding)[0])
    return f"it comes from `{given}`" if isinstance(given, str) else None


def _tree(given: Any, fill: Callable[[str], str]) -> Tree:  # noqa: ANN401
    if isinstance(given, dict):
        fields = Fields(_NOWHERE, flow=False)
        for key, value in given.items():
            fields.put(key, _tree(value, fill), _NOWHERE)
        return fields
    if isinstance(given, (list, tuple)):
        items = Items(_NOWHERE, flow=False)
        items.extend(_tree(item, fill) for item in given)
        return items
    return plain_scalar("" if given is None else fill(given), _NOWHERE)
