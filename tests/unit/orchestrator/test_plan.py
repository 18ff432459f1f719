from dataclasses import replace

import pytest

from dstack_cloud.domain.jobs import JobSpec
from dstack_cloud.domain.resources import Machine, Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import IllegalTransition, InstanceStatus, JobStatus
from dstack_cloud.orchestrator import plan

MACHINE = Machine(cpu=2, memory=2**30)


def offer(price: float | None, backend: str = "a") -> Offer:
    return Offer(backend=backend, region="r", instance_type=f"{backend}-{price}", machine=MACHINE, price=price)


def job(status: JobStatus = JobStatus.RUNNING, **changes: object) -> Job:
    base = Job("shady-1.train", "run", "main", "shady-1", "train", JobSpec(workflow="train", provider="bash"))
    return replace(base, status=status, **changes)


def launch(an_offer: Offer, wrong: str = "", attempt: int = 1) -> Instance:
    status = InstanceStatus.REFUSED if wrong else InstanceStatus.BUSY
    return Instance("i", "main", "shady-1.train", "shady-1", attempt, an_offer, status, wrong=wrong)


def test_the_cheapest_offer_comes_first_and_unknown_prices_last() -> None:
    offers = [offer(None), offer(2.0), offer(1.0)]
    assert plan.next_offer(offers, []) == offers[2]
    assert plan.next_offer(offers[:1], []) == offers[0]


def test_an_offer_that_was_refused_is_not_tried_again() -> None:
    offers = [offer(1.0), offer(2.0)]
    assert plan.next_offer(offers, [launch(offers[0], "NoCapacity: none left")]) == offers[1]


def test_a_refusal_that_the_user_must_mend_closes_the_backend() -> None:
    offers = [offer(1.0), offer(2.0), offer(3.0, "b")]
    assert plan.next_offer(offers, [launch(offers[0], "NotAuthorized: no")]) == offers[2]


def test_refused_launches_use_up_no_attempt() -> None:
    refused = launch(offer(1.0), "NoCapacity: none left")
    assert plan.launch_attempt(job(attempt=0), []) == 1
    assert plan.launch_attempt(job(attempt=1), [refused]) == 1
    assert plan.launch_attempt(job(attempt=1), [refused, launch(offer(2.0))]) == 2


def test_the_final_message_counts_the_refusals() -> None:
    tried = [launch(offer(1.0), "NoCapacity: none in x"), launch(offer(2.0), "QuotaExceeded: 0 of 0")]
    assert plan.no_offer_message(tried) == "2 offers tried: 1 NoCapacity, 1 QuotaExceeded; last: 0 of 0"
    assert plan.no_offer_message(tried[:1]) == "none in x"
    assert "no offer fits" in plan.no_offer_message([])


@pytest.mark.parametrize(
    ("reason", "code", "status", "message"),
    [
        ("", 0, JobStatus.DONE, ""),
        ("", 3, JobStatus.FAILED, "exit code 3"),
        ("stopped", 143, JobStatus.STOPPED, ""),
        ("aborted", None, JobStatus.ABORTED, ""),
        ("out_of_memory", 137, JobStatus.FAILED, "out of memory"),
        ("max_duration", 143, JobStatus.FAILED, "it ran longer than its max_duration"),
    ],
)
def test_the_end_of_a_job_follows_from_its_runner(
    reason: str, code: int | None, status: JobStatus, message: str
) -> None:
    ended = plan.follow_report(job(), plan.RunnerReport("finished", exit_code=code, reason=reason), 9.0)
    assert (ended.status, ended.message, ended.exit_code, ended.finished_at) == (status, message, code, 9.0)


@pytest.mark.parametrize(
    ("reason", "said", "message"),
    [
        (
            "",
            "artifact out: there is no such file or folder",
            "exit code 1; artifact out: there is no such file or folder",
        ),
        ("start", "working_dir x isn't in the source", "it couldn't be started: working_dir x isn't in the source"),
        ("max_duration", "stopped because max_duration is over", "stopped because max_duration is over"),
        ("image", "the image x can't be had: no such image", "the image x can't be had: no such image"),
    ],
)
def test_what_the_runner_says_is_told_once(reason: str, said: str, message: str) -> None:
    report = plan.RunnerReport("finished", said, exit_code=1, reason=reason)
    assert plan.follow_report(job(), report, 9.0).message == message


def test_a_stopping_job_keeps_its_status_while_the_runner_saves() -> None:
    assert plan.follow_report(job(JobStatus.STOPPING), plan.RunnerReport("uploading"), 1.0).status is JobStatus.STOPPING


def test_an_instance_is_wanted_by_its_own_unfinished_job_only() -> None:
    machine = launch(offer(1.0))
    assert plan.wanted(machine, job(instance_id="i"))
    assert not plan.wanted(machine, job(instance_id="other"))
    assert not plan.wanted(machine, job(JobStatus.DONE, instance_id="i"))
    assert not plan.wanted(machine, None)


def test_a_finished_job_goes_nowhere() -> None:
    with pytest.raises(IllegalTransition):
        plan.finish(job(JobStatus.DONE), JobStatus.FAILED, 1.0)
