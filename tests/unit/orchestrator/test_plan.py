from dataclasses import replace

import pytest

from dstack_cloud.domain.jobs import JobSpec
from dstack_cloud.domain.resources import Machine, Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, IllegalTransition, InstanceStatus, JobStatus
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


def test_refused_launches_use_up_no_attempt() -> None:
    refused = launch(offer(1.0), "NoCapacity: none left")
    assert plan.launch_attempt(job(attempt=0), []) == 1
    assert plan.launch_attempt(job(attempt=1), [refused]) == 1
    assert plan.launch_attempt(job(attempt=1), [refused, launch(offer(2.0))]) == 2


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


def test_max_duration_counts_all_attempts() -> None:
    first = plan.follow_report(job(), plan.RunnerReport("running", started_at=100.0), 100.0)
    assert plan.ran_for(first, 130.0) == 30.0
    again = plan.resubmitted(first, replace(launch(offer(1.0)), ending=Ending.INTERRUPTED), 130.0)
    assert (again.ran, again.running_since, again.started_at, again.exit_code) == (30.0, None, 100.0, None)
    second = plan.follow_report(
        replace(again, status=JobStatus.RUNNING), plan.RunnerReport("running", started_at=200.0), 200.0
    )
    assert plan.ran_for(second, 210.0) == 40.0


@pytest.mark.parametrize(("ran", "counted"), [(20.0, 20.0), (5000.0, 900.0), (None, 900.0)])
def test_what_passed_after_an_attempts_end_while_nobody_looked_is_not_counted(
    ran: float | None, counted: float
) -> None:
    running = plan.follow_report(job(), plan.RunnerReport("running", started_at=100.0), 100.0)
    report = plan.RunnerReport("finished", reason="interrupted", started_at=100.0, ran=ran)
    assert plan.ran_for(plan.timed(running, report, 1000.0), 1000.0) == counted


def test_an_attempt_that_nobody_saw_running_is_counted() -> None:
    report = plan.RunnerReport("finished", reason="interrupted", started_at=100.0, ran=20.0)
    assert plan.timed(job(), report, 1000.0).ran == 20.0


def test_a_job_that_goes_on_elsewhere_says_why() -> None:
    machine = replace(launch(offer(1.0)), wrong="it was killed")
    taken, lost = (replace(machine, ending=ending) for ending in (Ending.INTERRUPTED, Ending.LOST))
    assert plan.resubmitted(job(), taken, 1.0).message == "interrupted on a r; going on elsewhere"
    again = plan.resubmitted(job(), lost, 1.0, "node 1: ")
    assert again.message == "node 1: the machine was lost on a r (it was killed); going on elsewhere"


@pytest.mark.parametrize(
    ("endings", "said"),
    [
        ([Ending.LOST] * 9, ""),
        ([Ending.INTERRUPTED] * 30, ""),
        ([Ending.LOST] * 10, "10 machines were lost without notice: attempt 1 on a r: it died; attempt 2"),
        ([Ending.MUTE, Ending.MUTE, Ending.LOST, Ending.MUTE], ""),
        ([Ending.LOST] + [Ending.MUTE] * 3, "3 machines in a row never answered: attempt 2 on a r: it died"),
    ],
)
def test_a_job_that_loses_every_machine_is_given_up(endings: list[Ending], said: str) -> None:
    lost = [replace(launch(offer(1.0), attempt=n), ending=each, wrong="it died") for n, each in enumerate(endings, 1)]
    message = plan.too_many_lost(lost)
    assert message.startswith(said) and bool(message) == bool(said)


@pytest.mark.parametrize(
    ("statuses", "status", "message", "free"),
    [
        ((JobStatus.DONE, JobStatus.DONE), JobStatus.SUBMITTED, "", True),
        ((JobStatus.DONE, JobStatus.RUNNING), JobStatus.PENDING, "waits for b", False),
        ((JobStatus.PENDING, JobStatus.FAILED), JobStatus.FAILED, "`b` failed", False),
        ((JobStatus.STOPPED, JobStatus.RUNNING), JobStatus.STOPPED, "`a` was stopped", False),
        ((JobStatus.ABORTED, JobStatus.DONE), JobStatus.ABORTED, "`a` was aborted", False),
    ],
)
def test_a_job_waits_for_all_that_it_needs_and_ends_with_the_first_that_ends_ill(
    statuses: tuple[JobStatus, JobStatus], status: JobStatus, message: str, free: bool
) -> None:
    needed = [
        job(each, name=name, finished_at=7.0 if each.finished else None)
        for name, each in zip("ab", statuses, strict=True)
    ]
    decided, may_start = plan.after_needs(job(JobStatus.SUBMITTED), needed, 9.0)
    assert (decided.status, decided.message, may_start) == (status, message, free)
    assert decided.submitted_at == (7.0 if free else 0.0)


def test_the_search_of_what_was_started_again_counts_from_when_it_could_start() -> None:
    waiting = plan.resumed(job(JobStatus.FAILED), 5.0)
    for finished_at, since in ((7.0, 7.0), (3.0, 5.0)):
        decided, _ = plan.after_needs(waiting, [job(JobStatus.DONE, name="a", finished_at=finished_at)], 9.0)
        assert decided.searching_since == since
