"""`dstack run` on an emulated Azure: virtual machines with sandbox machines behind them, Azurite for Blob storage; through the
command line alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e import azure, engine
from tests.e2e.cloud import attempts, await_nothing_held
from tests.e2e.conftest import User, read_until, until
from tests.e2e.test_aws import TRAIN, TRAINING
from tests.fakes.azure.cloud import AzureCloud
from tests.fakes.azure.fixtures import any_whole_azure, whole_azure

__all__ = ["any_whole_azure", "whole_azure"]  # fixtures

pytestmark = [pytest.mark.azure, pytest.mark.azurite, pytest.mark.sandbox]

CREATE = "virtual_machines.create_or_update"


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()


@pytest.fixture(autouse=True)
def on_azure(user: User, whole_azure: AzureCloud) -> Iterator[None]:
    azure.configure(user, whole_azure, whole_azure.make_container())
    yield
    await_nothing_held(user, whole_azure)


def test_a_job_that_fails_after_a_full_zone_and_nothing_is_left(user: User, whole_azure: AzureCloud) -> None:
    whole_azure.fail(CREATE, "ZonalAllocationFailed", later=True, zone="1")
    user.workflows("""
        workflows:
          - name: train
            provider: bash
            commands: [cat name.txt, mkdir out && echo weights > out/model.bin, exit 3, echo never]
            artifacts: [out]
    """)
    user.write("name.txt", "here\n")
    answer = user("run", "train", code=3)
    assert answer.out == b"here\n"
    [run] = user.runs()
    user("artifacts", run["name"], "--output", "got")
    assert (user.folder / "got/out/model.bin").read_text() == "weights\n"
    assert "ZonalAllocationFailed" in user("ps", "-a", "-v").text
    made = [each for each in whole_azure.instances() if each["zone"] != "1"]
    assert [each["tags"]["dstack-run"] for each in made] == [run["name"]]


def test_spot_training_goes_on_after_an_eviction(user: User, whole_azure: AzureCloud) -> None:
    user.write("train.sh", TRAIN)
    user.workflows(TRAINING.replace("STEPS=60", "STEPS=40"))
    process = user.start("run", "train")
    read_until(process, b"step 5\n")
    [first] = whole_azure.instances("running")
    assert first["market"] == "spot"
    whole_azure.interrupt(first["id"], 15)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    [run] = user.runs()
    assert (run["status"], len(attempts(user, run["name"]))) == ("done", 2)
    steps = [int(line.split()[1]) for line in user("logs", run["name"]).text.splitlines() if line.startswith("step")]
    # a step that was under way may be there twice
    assert (set(steps), len(steps) <= 41) == (set(range(1, 41)), True)
    assert "train" in user("prune", "cache", "train", "-y").text
    assert json.loads(user("prune", "cache", "train", "-y", "--json").out)["entries"] == []


def test_without_its_server_a_machine_finishes_and_deletes_itself(user: User, whole_azure: AzureCloud) -> None:
    user.workflows("""
        workflows:
          - name: count
            provider: bash
            commands: ['for i in $(seq 1 40); do echo line $i; sleep 0.1; done', mkdir out, echo 1 > out/x]
            artifacts: [out]
    """)
    name = user.submit("count")
    user.wait_for_log(name, "line 5")
    user.kill_server()
    until(lambda: whole_azure.held() == [], patience=120)
    assert user.wait(name)["status"] == "done"
    assert user("logs", name).text.splitlines() == [f"line {n}" for n in range(1, 41)]
    assert "out/x" in user("artifacts", name).text


def test_without_low_priority_cores_the_last_word_says_so(user: User, whole_azure: AzureCloud) -> None:
    user.workflows(TRAINING)
    user.write("train.sh", TRAIN)
    whole_azure.set(low_priority_cores=0)
    quota = user("run", "train", code=None)
    assert quota.code != 0
    assert "Total Regional Low-priority vCPUs in eastus is 0" in quota.err
    assert whole_azure.instances() == []
