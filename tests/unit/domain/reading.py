"""Short ways to read one file in these tests."""

from __future__ import annotations

from textwrap import dedent, indent

from dstack_cloud.domain import parsing

FILE = ".dstack/workflows.yaml"


def check(text: str) -> parsing.Checked:
    return parsing.check([(FILE, dedent(text))])


def workflow(fields: str) -> parsing.Workflow:
    """The workflow `w` with these fields, and `commands` where they name none; it must be right."""
    checked = check(_file(fields))
    assert checked.problems == []
    return checked.workflows[0]


def problems(fields: str) -> list[parsing.Problem]:
    """What is wrong with the workflow `w` of these fields."""
    checked = check(_file(fields))
    assert checked.workflows == []
    return checked.problems


def problem(fields: str) -> parsing.Problem:
    found = problems(fields)
    assert len(found) == 1, found
    return found[0]


def _file(fields: str) -> str:
    text = dedent(fields).strip("\n")
    start = "name: w\n" + ("" if "commands:" in text or "provider:" in text else "commands: [echo hi]\n")
    return f"workflows:\n  -\n{indent(start + text, '    ')}\n"
