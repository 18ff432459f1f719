"""What can be known only with a run's values, too, is told with the file and the line."""

from __future__ import annotations

import pytest

from dstack_cloud.domain import providers
from dstack_cloud.domain.variables import Values
from dstack_cloud.errors import ConfigurationError
from tests.unit.domain.reading import FILE, workflow

REFUSED = [
    ("help: x\nprovider: curl\nurl: file.zip", "`url` must begin with", 6),
    ("provider: ray\nhelp: x\nargs: x\ncommands: y", "`args` are for a `file`", 6),
    ("help: x\nprovider: ray", "it has neither `file` nor `commands`", 3),
    ("help: x\nprovider: fastapi\napp: main.py", "`app` must be module:name", 6),
]


@pytest.mark.parametrize(("fields", "text", "line"), REFUSED, ids=[text for _, text, _ in REFUSED])
def test_a_provider_s_refusal_names_the_line_of_its_option(fields: str, text: str, line: int) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        providers.job_specs(workflow(fields), Values("shady-1"))
    assert caught.value.summary.endswith(f" ({FILE}:{line})")


def test_a_path_that_a_value_spoils_is_told_with_the_workflow() -> None:
    where = Values("shady-1", args=("../x",))
    with pytest.raises(ConfigurationError, match=r"leaves the working folder \(.*:3\)"):
        providers.job_specs(workflow("help: x\nworking_dir: ${{ run.args }}"), where)
