"""`dstack run` on an emulated Google Cloud: Compute Engine with sandbox machines behind it, Cloud Storage's XML API before SeaweedFS;
through the command line alone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e import engine
from tests.e2e import google as gcp
from tests.e2e.cloud import await_nothing_held
from tests.e2e.conftest import User, read_until, until
from tests.e2e.test_aws import TRAIN, TRAINING
from tests.fakes.gcp import GoogleCloud
from tests.fakes.gcp.fixtures import any_whole_google, google_bucket, google_cloud

__all__ = ["any_whole_google", "google_bucket", "google_cloud"]  # fixtures

pytestmark = [pytest.mark.google, pytest.mark.sandbox, pytest.mark.seaweed]

# what it saves only when it is told to end lies nowhere but on its machine, whose shutdown has begun
TRAIN_AND_SAVE_LAST = TRAIN.replace("echo $step > out/step; ", "").replace(
    "trap 'exit 143'", "trap 'sleep 2; echo $step > out/step; exit 143'"
)


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()


@pytest.fixture(autouse=True)
def on_gcp(user: User, google_cloud: GoogleCloud, google_bucket: str) -> Iterator[None]:
    gcp.log_in(user, google_cloud, google_bucket)
    gcp.configure(user, google_cloud, google_bucket)
    yield
    await_nothing_held(user, google_cloud)


def test_spot_training_goes_on_after_an_interruption(user: User, google_cloud: GoogleCloud) -> None:
    user.write("train.sh", TRAIN_AND_SAVE_LAST)
    user.workflows(TRAINING)
    process = user.start("run", "train")
    read_until(process, b"step 5\n")
    [first] = google_cloud.instances("RUNNING")
    assert (first["market"], first["labels"]["dstack-run"]) == ("spot", user.runs()[0]["name"])
    google_cloud.interrupt(first["id"], 30)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    [run] = user.runs()
    assert (run["status"], len(google_cloud.instances())) == ("done", 2)
    assert [each["ending"] for each in run["jobs"][0]["instances"]] == ["interrupted", ""]
    log = user("logs", run["name"]).text.splitlines()
    assert "data came from the cache" in log
    # a step that was under way may be there twice
    steps = [int(line.split()[1]) for line in log if line.startswith("step")]
    assert (set(steps), len(steps) <= 61) == (set(range(1, 61)), True)
    assert "interrupt" in user("ps", "-a", "-v").text
    assert "train" in user("prune", "cache", "train", "-y").text
    assert json.loads(user("prune", "cache", "train", "-y", "--json").out)["entries"] == []


def test_without_its_server_a_machine_finishes_alone_and_deletes_itself(user: User, google_cloud: GoogleCloud) -> None:
    user.workflows("""
        workflows:
          - name: count
            provider: bash
            commands: ['for i in $(seq 1 30); do echo line $i; sleep 0.1; done', mkdir out, echo 1 > out/x]
            artifacts: [out]
    """)
    name = user.submit("count")
    user.wait_for_log(name, "line 5")
    user.kill_server()
    until(lambda: google_cloud.held() == [], patience=120)
    [machine] = google_cloud.instances()
    assert (machine["state"], machine["reason"]) == ("DELETED", "delete")
    assert user.wait(name)["status"] == "done"
    assert user("logs", name).text.splitlines() == [f"line {n}" for n in range(1, 31)]
    assert "out/x" in user("artifacts", name).text


def test_failover_from_what_has_no_capacity_and_a_quota_that_no_region_has(
    user: User, google_cloud: GoogleCloud, google_bucket: str
) -> None:
    google_cloud.fail("instances.insert", "ZONE_RESOURCE_POOL_EXHAUSTED", market="spot")
    google_cloud.fail("instances.insert", "QUOTA_EXCEEDED", zone="us-central1-a")
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi], resources: {spot_policy: auto}}")
    google_cloud.set(quotas={"GPUS_ALL_REGIONS": 0})
    said = user("run", "hi", "--gpu", "T4", code=None).err
    assert "GPUS_ALL_REGIONS is 0" in said, said
    gcp.configure(user, google_cloud, google_bucket, regions=["us-central1", "us-east1"])
    user("server", "stop", code=None)
    assert user("run", "hi").out == b"hi\n"
    [machine] = [each for each in google_cloud.instances() if each["reason"] == "delete"]
    assert (machine["region"], machine["market"]) == ("us-east1", "on-demand")
    shown = user("ps", "-a", "-v").text
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in shown and "QUOTA_EXCEEDED" in shown
