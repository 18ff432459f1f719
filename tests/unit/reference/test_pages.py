"""The pages of docs/reference say what the code says."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from dstack_cloud.domain import providers
from dstack_cloud.domain.parsing.known import DESCRIBED
from dstack_cloud.domain.parsing.model import Body, Resources
from dstack_cloud.domain.variables import KNOWN_NAMES, Values
from dstack_cloud.reference import field_options
from dstack_cloud.reference.__main__ import made
from dstack_cloud.reference.pages import BEGIN, END, filled, named, parts
from tests.architecture.sources import ROOT
from tests.unit.domain.reading import check

MADE = made()


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_what_is_committed_is_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == MADE[path], "run `make docs`"


def test_every_part_is_on_one_page() -> None:
    pages = (ROOT / "docs" / "reference").glob("*.md")
    assert Counter(name for page in pages for name in named(page.read_text(encoding="utf-8"))) == Counter(list(parts()))


def test_a_part_that_says_something_else_is_replaced_and_the_rest_stays() -> None:
    page = f"before\n{BEGIN.format(name='x')}\nold\n{END}\nafter\n"
    assert filled(page, {"x": lambda: "new\n"}) == page.replace("\nold\n", "\n\nnew\n\n")


def test_a_part_that_there_is_not_is_no_part() -> None:
    with pytest.raises(KeyError, match="nothing"):
        filled(f"{BEGIN.format(name='nothing')}\n{END}\n", parts())


def test_fields_that_are_no_options_are_fields() -> None:
    fields = {*Body.model_fields, *(f"resources.{name}" for name in Resources.model_fields)}
    assert field_options.NO_OPTION.keys() <= fields


def test_every_name_that_texts_may_use_is_told() -> None:
    page = (ROOT / "docs" / "reference" / "workflows.md").read_text(encoding="utf-8")
    table = page.split("| name | stands for |")[1].split("\n\n")[0]
    assert all(f"`{name}`" in table for name in KNOWN_NAMES)


@pytest.mark.parametrize("name", DESCRIBED)
def test_the_examples_of_providers_can_be_run(name: str) -> None:
    page = (ROOT / "docs" / "reference" / "providers.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {name}\n")[1]
    checked = check(textwrap.dedent(section.split("```yaml\n")[1].split("```")[0]))
    assert checked.problems == []
    assert providers.job_specs(checked.workflows[0], Values("shady-1"))[0].provider == name
