"""The cloud takes the machine back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dstack_cloud.runner_bootstrap.link import LinkError
from tests.fakes import metadata
from tests.fakes.metadata import Metadata
from tests.unit.runner.rig import Rig, until

CLOUDS = ("aws", "gcp", "azure")
SAVES = "trap 'echo saved > f; exit 3' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def cloud() -> Iterator[Metadata]:
    with metadata.serving() as served:
        yield served


@pytest.fixture
def runner(rig: Rig, cloud: Metadata) -> Rig:
    return rig.start("--metadata", cloud.address)


def looked(cloud: Metadata, times: int = 2) -> None:
    """The runner has asked so often from now on."""
    before = len(cloud.requests)
    until(lambda: len(cloud.requests) >= before + times, "the runner's questions")


@pytest.mark.parametrize("name", CLOUDS)
def test_a_notice_lets_the_job_save_its_work(runner: Rig, cloud: Metadata, name: str) -> None:
    runner.submit(SAVES, artifacts=["f"], notice=name, grace=60)
    runner.wait_log(b"ready")
    assert runner.link.state().phase == "running"
    cloud.interrupt()
    state = runner.wait("uploading")
    assert (state.reason, state.exit_code) == ("interrupted", 3)
    assert runner.output()["f"].size == len("saved\n")


@pytest.mark.parametrize("name", CLOUDS)
def test_a_notice_before_the_job_started_leaves_nothing(runner: Rig, cloud: Metadata, name: str) -> None:
    runner.submit("true", inputs=["code"], artifacts=["f"], notice=name)
    cloud.interrupt()
    state = runner.wait("uploading")
    assert (state.reason, state.exit_code, state.outputs) == ("interrupted", None, ())


@pytest.mark.parametrize("name", CLOUDS)
def test_a_service_in_trouble_is_asked_again(runner: Rig, cloud: Metadata, name: str) -> None:
    cloud.refuses = 503
    runner.submit(SAVES, notice=name)
    runner.wait_log(b"ready")
    looked(cloud)
    cloud.refuses, cloud.silent = 0, True
    looked(cloud)
    assert runner.link.state().phase == "running"
    cloud.interrupt()
    cloud.silent = False
    assert runner.wait("uploading").reason == "interrupted"


def test_a_service_that_is_not_there_harms_nobody(rig: Rig) -> None:
    rig.start("--metadata", "http://127.0.0.1:1")
    state = rig.run("echo done", notice="aws")
    assert (state.exit_code, state.reason) == (0, "")


def test_a_token_that_is_no_longer_good_is_renewed(runner: Rig, cloud: Metadata) -> None:
    runner.submit(SAVES, notice="aws")
    runner.wait_log(b"ready")
    looked(cloud)
    cloud.forget_tokens()
    looked(cloud)
    cloud.interrupt()
    assert runner.wait("uploading").reason == "interrupted"


def test_a_service_that_holds_no_question_is_not_asked_in_a_hurry(runner: Rig, cloud: Metadata) -> None:
    cloud.holds = False
    runner.submit(SAVES, notice="gcp")
    runner.wait_log(b"ready")
    looked(cloud, 3)
    asked = len(cloud.requests)
    cloud.interrupt()
    assert runner.wait("uploading").reason == "interrupted"
    assert len(cloud.requests) <= asked + 3


def test_other_machines_and_other_events_are_not_this_ones_end(runner: Rig, cloud: Metadata) -> None:
    cloud.interrupt("vm-2")
    cloud.schedule("Freeze")
    runner.submit(SAVES, notice="azure")
    runner.wait_log(b"ready")
    looked(cloud, 3)
    assert runner.link.state().phase == "running"
    cloud.interrupt("vm-2", "VM-1")
    assert runner.wait("uploading").reason == "interrupted"


def test_the_grace_is_a_third_of_the_window_at_most(runner: Rig, cloud: Metadata) -> None:
    runner.submit("trap '' TERM", "echo ready", "while :; do sleep 0.1; done", notice="gcp", grace=3600)
    runner.wait_log(b"ready")
    cloud.interrupt()
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason) == (137, "interrupted")


def test_what_a_user_asks_for_meanwhile_counts(runner: Rig, cloud: Metadata) -> None:
    runner.submit("trap '' TERM", "echo ready", "while :; do sleep 0.1; done", notice="aws", grace=3600)
    runner.wait_log(b"ready")
    cloud.interrupt()
    until(lambda: runner.link.state().notice_at, "the notice")
    runner.link.stop()
    runner.link.stop(abort=True)
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason, state.outputs) == (137, "aborted", ())


def test_a_users_stop_is_no_interruption(runner: Rig, cloud: Metadata) -> None:
    runner.submit("trap 'sleep 2; exit 0' TERM; echo ready; while :; do sleep 0.05; done", notice="aws", grace=60)
    runner.wait_log(b"ready")
    cloud.interrupt()
    until(lambda: runner.link.state().notice_at, "the notice")
    runner.link.stop()
    assert runner.wait("uploading").reason == "stopped"


def test_a_notice_while_the_outputs_wait_is_only_told(runner: Rig, cloud: Metadata) -> None:
    runner.run("echo x > f", artifacts=["f"], notice="gcp")
    assert runner.link.state().notice_at is None
    cloud.interrupt()
    until(lambda: runner.link.state().notice_at, "the notice")
    state = runner.link.state()
    assert (state.phase, state.reason, state.exit_code) == ("uploading", "", 0)
    assert runner.output()["f"].size == 2


def test_a_restarted_runner_listens_again(runner: Rig, cloud: Metadata) -> None:
    runner.submit(SAVES, notice="azure")
    runner.wait_log(b"ready")
    runner.crash()
    runner.start("--metadata", cloud.address)
    cloud.interrupt()
    assert runner.wait("uploading").reason == "interrupted"


def test_a_cloud_that_nobody_knows(runner: Rig) -> None:
    with pytest.raises(LinkError, match="notice"):
        runner.submit("true", notice="moon")
