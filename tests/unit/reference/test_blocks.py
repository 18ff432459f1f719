"""Every file that a page shows is one that dstack takes."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from dstack_cloud.backends.registry import make_backends
from dstack_cloud.domain import parsing
from dstack_cloud.domain.configuration import Source, parse_configuration
from dstack_cloud.domain.parsing.known import Known
from dstack_cloud.providers.description import describe
from tests.architecture.sources import ROOT
from tests.unit.reference.test_commands import PAGES

_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(text, id=f"{page.relative_to(ROOT).as_posix()} {number}")
    for page in PAGES
    for number, text in enumerate(_BLOCK.findall(page.read_text(encoding="utf-8")), 1)
]
EXAMPLE = ROOT / "examples" / "own-provider" / "providers" / "make.py"
OWN = Known({"./providers/make.py:Make": describe(runpy.run_path(str(EXAMPLE))["Make"])})


@pytest.mark.parametrize("text", BLOCKS)
def test_a_block_is_taken_as_it_stands(text: str, tmp_path: Path) -> None:
    if text.startswith(("workflows:", "variables:")):
        name = "workflows" if text.startswith("workflows") else "variables"
        others = [("x.yaml", "workflows: [{name: train, commands: x}]")] if name == "variables" else []
        checked = parsing.check([(f".dstack/{name}.yaml", text), *others], OWN)
        assert checked.problems == []
        assert checked.workflows
        return
    configuration = parse_configuration(Source("config.yaml", text), {})
    for project in configuration.projects.values():
        assert {*project.backends} <= make_backends(tmp_path, "i", project.settings, "").keys()
