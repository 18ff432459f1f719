"""What may not start again, and what stays as it was where it doesn't."""

from __future__ import annotations

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.runs import Need
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.services import resuming
from tests.unit.services.office import Office


@pytest.mark.parametrize("status", [JobStatus.DONE, JobStatus.ABORTED])
@pytest.mark.parametrize("clear", [None, True])
def test_what_another_run_waits_for_stays_as_it_is(office: Office, status: JobStatus, clear: bool | None) -> None:
    name, other = office.submit()["name"], office.submit()["name"]
    before = office.end(name, status)
    waiting = office.set_job(other, needs=(Need(name, "train", "last"),))
    with pytest.raises(errors.Conflict, match=f"{waiting.id} needs the artifacts of {before.id}") as raised:
        if clear is None:
            resuming.resume(office.context, "main", before.id)
        else:
            resuming.restart(office.context, "main", name, clear=clear)
    assert raised.value.hint == f"wait for it, or `dstack stop {waiting.id}`"
    assert office.job(name) == before
    office.end(other)
    resuming.resume(office.context, "main", before.id)
    assert office.job(name).status is JobStatus.PENDING
