"""Fields that are understood and whose effect isn't built: a workflow that uses one is refused, never run without it."""

from __future__ import annotations

from collections.abc import Callable

from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.providers.places import place_of
from dstack_cloud.errors import NotAvailableYet

UNBUILT: dict[str, Callable[[Workflow], bool]] = {
    "schedule": lambda workflow: workflow.schedule is not None,
    "sweep": lambda workflow: workflow.sweep is not None,
}


def refuse_unbuilt(workflow: Workflow) -> None:
    """Raises NotAvailableYet with all of the fields."""
    used = [f"`{field}`" for field, uses in UNBUILT.items() if uses(workflow)]
    if used:
        verb = "is" if len(used) == 1 else "are"
        text = f"the workflow `{workflow.name}` uses {', '.join(used)}, which {verb} not available yet"
        raise NotAvailableYet(text + place_of(workflow, text), "this version runs it only without")
