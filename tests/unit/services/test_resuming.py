"""What may not start again, and what stays as it was where it doesn't."""

from __future__ import annotations

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.domain.runs import Need
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.services import resuming
from dstack_cloud.storage import artifacts, layout
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


def saved(office: Office, name: str, *, complete: bool) -> layout.JobPlace:
    place = layout.JobPlace(name, "train")
    artifacts.publish(office.store, place, Manifest(name, "train", 1, complete=complete))
    return place


def test_a_run_that_begins_anew_keeps_what_it_saved_until_that_is_certain(office: Office) -> None:
    name = office.submit()["name"]
    place = saved(office, name, complete=True)
    office.end(name)
    resuming.restart(office.context, "main", name, clear=True)
    assert office.job(name).clear and artifacts.load_manifest(office.store, place)


@pytest.mark.parametrize("complete", [True, False])
def test_of_an_aborted_job_only_what_an_attempt_saved_at_its_end_stays(office: Office, complete: bool) -> None:
    name = office.submit()["name"]
    place = saved(office, name, complete=complete)
    office.end(name, JobStatus.ABORTED)
    resuming.resume(office.context, "main", name)
    assert (artifacts.load_manifest(office.store, place) is not None) is complete
