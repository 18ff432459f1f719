"""Workflows by name."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_cloud.domain.parsing.known import PROVIDERS
from dstack_cloud.domain.parsing.model import Workflow
from dstack_cloud.domain.parsing.problems import nearest, shown
from dstack_cloud.errors import NotAvailableYet, NotFound


def find(workflows: Sequence[Workflow], name: str) -> Workflow:
    """Raises NotFound with the nearest name and all of them; NotAvailableYet where `name` is a provider."""
    for workflow in workflows:
        if workflow.name == name:
            return workflow
    names = [workflow.name for workflow in workflows]
    known = (
        f"workflows: {', '.join(names)}"
        if names
        else "there is no workflow at all; write one in .dstack/workflows.yaml"
    )
    if name in PROVIDERS:
        text = f"running the provider `{name}` without a workflow is not available yet"
        raise NotAvailableYet(text, f"write a workflow with `provider: {name}` and run that; {known}")
    near = nearest(name, names)
    raise NotFound(f"there is no workflow {shown(name)}", f"did you mean `{near}`? {known}" if near else known)
