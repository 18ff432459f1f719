"""Files that aren't what YAML, or a file of workflows, should be."""

from __future__ import annotations

import pytest

from dstack_cloud.domain import parsing
from tests.unit.domain.reading import check

BOMB = "\n".join(f"x-{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9) if n else 1}]" for n in range(12))
CHAIN = "x-0: &a0 [1]\n" + "\n".join(f"x-{n}: &a{n} [*a{n - 1}]" for n in range(1, 2000))

FILES = [
    ("", "1:1: the file is empty"),
    ("# nothing\n", "1:1: the file is empty"),
    ("5", "1:1: the file must be a mapping, found the number `5`"),
    ("- name: x", "1:1: the file must be a mapping, found a list"),
    ("workflows:", "1:1: `workflows` must be a list of workflows, found nothing"),
    ("workflows: 5", "1:1: `workflows` must be a list of workflows, found the number `5`"),
    ("workflows: [5]", "1:13: the workflow must be a mapping, found the number `5`"),
    ("x-a: 1", "1:1: the file has no `workflows`"),
    ("workflow: []", "1:1: `workflow` is an unknown field"),
    ("workflows:\n\t- name: a", "2:1: a tab can't be used to indent"),
    ("workflows:\n  - name: a\n   commands: x", "3:4: the indentation doesn't fit the lines above"),
    ("a: b: c", "1:5: a `:` stands where no key can be"),
    ("a: 'b", "1:4: this quote is never closed"),
    ('a: "b\nc: d\n', "1:4: this quote is never closed"),
    ("a: 'b\n---\nc: d", "1:4: this quote is never closed before `---`"),
    ("a: [b", "1:6: a `,` or the closing `]` is missing"),
    ("a: @b", "1:4: a value can't begin with `@`"),
    ('a: "\\q"', "1:6: `\\q` isn't an escape that double quotes know"),
    ("a: *b", "1:4: the alias `*b` has no anchor `&b` before it"),
    ("a: &b 1\nc: &b 2", "2:4: the anchor `&b` is given twice"),
    ("a: 1\n---\nb: 2", "2:1: the file holds several documents"),
    ("a: !b 1", "1:4: `a`: the tag `!b` has no meaning here"),
    ("a: \x07", "1:4: the character U+0007 can't stand in a YAML file"),
    ("a: \udc80", "1:4: the character U+DC80 can't stand in a YAML file"),
    ('a: "\\UFFFFFFFF"', "1:1: an escape or a number in the file is out of range"),
    ('a: "\\0"', "1:4: `a`: a character in it can't be part of a text"),
    ("? [a]\n: b", "1:3: a key must be a text"),
    ("a: &b [*b]", "1:4: an anchor contains an alias of itself"),
    ("a: {<<: 5}", "1:9: `<<` takes a mapping or a list of mappings"),
    ("a: 1\na: 2", "2:1: `a` is given twice; the first is in line 1"),
    ("[" * 100_000, "1:41: lists and mappings are nested more than 40 deep"),
    (CHAIN, "40:13: lists and mappings are nested more than 40 deep"),
    (BOMB, "7:11: with its aliases the file has more than 200000 values"),
    ("# " + "x" * 600_000, "1:1: the file is longer than 512 KiB"),
]


@pytest.mark.parametrize(("text", "expected"), FILES, ids=[expected for _, expected in FILES])
def test_a_broken_file_is_a_problem_with_a_place(text: str, expected: str) -> None:
    checked = parsing.check([("w.yaml", text)])
    assert checked.workflows == []
    assert any(str(each).startswith(f"w.yaml:{expected}") for each in checked.problems), checked.problems


def test_a_key_given_twice_in_a_workflow_spoils_that_workflow_only() -> None:
    checked = check("""
        workflows:
          - {name: a, commands: x, env: {A: 1, A: 2}}
          - {name: b, commands: x}
    """)
    assert [(each.line, each.where) for each in checked.problems] == [(3, "workflows[0].env.A")]
    assert [workflow.name for workflow in checked.workflows] == ["b"]


def test_a_byte_order_mark_and_windows_lines_are_fine() -> None:
    checked = parsing.check([("w.yaml", "\ufeffworkflows:\r\n  - name: a\r\n    commands: [x]\r\n")])
    assert checked.problems == []
    assert (checked.workflows[0].file, checked.workflows[0].line) == ("w.yaml", 2)


def test_an_empty_list_is_fine() -> None:
    assert check("workflows: []").problems == []
