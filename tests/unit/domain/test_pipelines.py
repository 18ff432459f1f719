"""The order of workflows that depend on each other."""

from __future__ import annotations

import pytest

from dstack_cloud.domain import parsing
from dstack_cloud.domain.pipelines import pipeline, unplannable
from dstack_cloud.errors import ConfigurationError, NotFound


def read(deps: dict[str, str]) -> list[parsing.Workflow]:
    listed = "\n".join(f"  - {{name: {name}, commands: [ls], deps: [{needed}]}}" for name, needed in deps.items())
    checked = parsing.check([(".dstack/workflows.yaml", f"workflows:\n{listed}\n")])
    assert checked.problems == []
    return checked.workflows


def names(**deps: str) -> list[str]:
    """Of the pipeline of the last workflow."""
    workflows = read(deps)
    return [workflow.name for workflow in pipeline(workflows, workflows[-1])]


def test_each_stands_once_behind_all_that_it_needs() -> None:
    assert names(a="", b="a", c="a", unused="", d="c, b, c") == ["a", "c", "b", "d"]


def test_a_long_chain_has_no_end_of_its_own() -> None:
    chain = {f"w{n}": f"w{n - 1}" if n else "" for n in range(1500)}
    assert names(**chain) == list(chain)


def test_the_whole_circle_is_told() -> None:
    with pytest.raises(ConfigurationError, match="`b` depends on itself: b → c → d → b"):
        names(b="c", c="d", d="b", a="b")


def test_one_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        names(download="", train="downlod")
    assert caught.value.hint and caught.value.hint.startswith("did you mean `download`?")


def test_all_that_can_not_be_planned_is_told_at_once() -> None:
    deps = {"a": "b", "b": "a", "c": "a", "d": "nothing, a", "e": "e", "f": "g", "g": ""}
    assert [(each.line, each.text) for each in unplannable(read(deps))] == [
        (5, "`d` depends on `nothing`, and there is no such workflow"),
        (2, "`a` depends on itself: a → b → a"),
        (6, "`e` depends on itself: e → e"),
    ]
