"""Names for the outputs of runs. A run has one at most; the same one may be on many runs, of which the newest counts."""

from __future__ import annotations

from collections.abc import Sequence

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.runs import Run
from dstack_cloud.services import runs
from dstack_cloud.services.context import Context
from dstack_cloud.services.workflows import check_tag


def tag(context: Context, project: str, name: str, given: str) -> schemas.RunView:
    """Raises NotFound, UsageError."""
    check_tag(given)
    run, _ = runs.find(context, project, name)
    if name != run.name:
        raise errors.UsageError(f"{name} is one job of a run, and a tag is a whole run's", f"name {run.name}")
    context.world.database.runs.set_tag(run.id, given)
    context.world.changes.notify()
    return runs.view(context, runs.find(context, project, name)[0])


def list_tags(context: Context, project: str) -> list[schemas.TagView]:
    context.project(project)
    return _views(context, context.world.database.runs.tagged(project))


def untag(context: Context, project: str, name: str) -> list[schemas.TagView]:
    """Of the run of that name, else of all that have the tag. Raises NotFound."""
    context.project(project)
    rows = context.world.database.runs
    run = rows.get(project, name)
    had = [run] if run is not None and run.tag else [] if run is not None else rows.tagged(project, name)
    if not name or not had:
        raise errors.NotFound(
            f"{name} has no tag" if run is not None else f"there is no run, and no tag, {name!r}",
            "`dstack tags` lists all tags",
        )
    views = _views(context, had)
    with context.world.database.transaction():
        for each in had:
            rows.set_tag(each.id, "")
    context.world.changes.notify()
    return views


def _views(context: Context, tagged: Sequence[Run]) -> list[schemas.TagView]:
    return [
        {
            "tag": view["tag"],
            "run": view["name"],
            "workflow": view["workflow"],
            "status": view["status"],
            "submitted_at": view["submitted_at"],
        }
        for view in runs.list_views(context, tagged)
    ]
