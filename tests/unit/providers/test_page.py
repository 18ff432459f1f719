"""The documentation's page about providers."""

from __future__ import annotations

import textwrap

import pytest

from dstack_cloud.domain import providers
from dstack_cloud.domain.parsing.known import DESCRIBED
from dstack_cloud.domain.variables import Values
from dstack_cloud.providers.page import page
from tests.architecture.sources import PACKAGE
from tests.unit.domain.reading import check


def test_the_committed_page_is_what_the_providers_say() -> None:
    committed = PACKAGE.parent / "docs" / "reference" / "providers.md"
    assert committed.read_text() == page(), "run `make docs`"


@pytest.mark.parametrize("name", DESCRIBED)
def test_its_examples_can_be_run(name: str) -> None:
    section = page().split(f"\n## {name}\n")[1]
    example = section.split("```yaml\n")[1].split("```")[0]
    checked = check(textwrap.dedent(example))
    assert checked.problems == []
    assert providers.job_specs(checked.workflows[0], Values("shady-1"))[0].provider == name
