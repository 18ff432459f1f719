"""`dstack rehearse` on a workflow that keeps its work and on one that doesn't."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.client import Client
from dstack_cloud.errors import Conflict, UsageError
from tests.e2e import engine
from tests.e2e.conftest import User

pytestmark = pytest.mark.sandbox
EXAMPLE = Path(__file__).parents[2] / "examples" / "interruption"


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()


@pytest.fixture(autouse=True)
def example(user: User) -> Iterator[None]:
    shutil.copytree(EXAMPLE, user.folder, dirs_exist_ok=True)
    yield
    engine.await_nothing_held(user)


def test_what_writes_checkpoints_is_resumed(user: User) -> None:
    args = ("rehearse", "train", "--interrupt-after", "6s", "--notice", "30s", "--json", "--", "--epochs", "30")
    report = json.loads(user(*args).out)
    assert (report["verdict"], report["status"], report["attempts"]) == ("resumed", "done", 2)
    assert report["saved"]["files"] > 0
    assert report["repeated"] < report["lines"]
    log = user("logs", report["run"]).text.splitlines()
    assert any(line.startswith("going on after epoch") for line in log)
    assert sum(line.startswith("epoch 30 of 30") for line in log) == 1


def test_what_writes_none_begins_again(user: User) -> None:
    answer = user("rehearse", "forgetful", "--interrupt-after", "6s", "--", "--epochs", "30", code=1)
    assert "started from the beginning" in answer.text.splitlines()[0]
    assert "nothing had been saved" in answer.text
    assert "its machine is told that it ends in 2m 00s" in answer.err
    [run] = user.runs()
    assert (run["status"], run["jobs"][0]["attempt"]) == ("done", 2)


def test_a_network_that_comes_back_costs_nothing(user: User) -> None:
    answer = user("rehearse", "train", "--lose-network", "3s", "--", "--epochs", "20")
    assert "undisturbed" in answer.text
    assert [instance["attempt"] for job in user.runs()[0]["jobs"] for instance in job["instances"]] == [1]


def test_a_workflow_that_is_too_short_says_so(user: User) -> None:
    answer = user("rehearse", "train", "--", "--epochs", "1", code=1)
    assert "not interrupted" in answer.text
    assert "choose an earlier moment" in answer.text


def test_a_job_elsewhere_is_not_broken(user: User) -> None:
    """The route by itself: `rehearse` runs in the sandbox alone."""
    name = user("run", "train", "--backend", "local", "-d", "--", "--epochs", "1000").text.split()[-1]
    user.wait_for_log(name, "epoch 1 ")
    with pytest.raises(Conflict, match="aren't broken on purpose"):
        Client(user.home, autostart=False).inflict(name, "kill")
    with pytest.raises(UsageError, match="no fault"):
        Client(user.home, autostart=False).inflict(name, "tickle")
