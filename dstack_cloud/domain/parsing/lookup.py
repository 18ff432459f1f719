"""Workflows by name."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_cloud.domain.parsing.known import PROVIDERS
from dstack_cloud.domain.parsing.model import Workflow
from dstack_cloud.domain.parsing.problems import nearest, shown
from dstack_cloud.errors import NotFound


def find(workflows: Sequence[Workflow], name: str) -> Workflow:
    """Raises NotFound with the nearest name and all of them; a provider runs without one, and may be the nearest."""
    for workflow in workflows:
        if workflow.name == name:
            return workflow
    names = [workflow.name for workflow in workflows]
    known = (
        f"workflows: {', '.join(names)}"
        if names
        else "there is no workflow at all; write one in .dstack/workflows.yaml"
    )
    near = nearest(name, [*names, *PROVIDERS])
    raise NotFound(f"there is no workflow {shown(name)}", f"did you mean `{near}`? {known}" if near else known)
