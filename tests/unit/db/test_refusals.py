"""Refused launches don't pile up."""

from __future__ import annotations

from dstack_cloud.db import SqlDatabase
from dstack_cloud.domain.states import InstanceStatus
from tests.unit.db.rows import an_instance, fill


def test_the_newest_refused_launches_are_kept(database: SqlDatabase) -> None:
    job, other = fill(database, "a-1", "b-1")
    for number in range(5):
        database.instances.add(an_instance(job, f"r-{number}", status=InstanceStatus.REFUSED))
        database.instances.add(an_instance(other, f"o-{number}", status=InstanceStatus.REFUSED))
    database.instances.add(an_instance(job, "busy", status=InstanceStatus.BUSY))
    database.instances.forget_refused(job.id, keep=2)
    assert [row.id for row in database.instances.of_jobs([job.id])] == ["r-3", "r-4", "busy"]
    assert len(database.instances.of_jobs([other.id])) == 5
