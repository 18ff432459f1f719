"""`dstack run` on an emulated AWS: moto's EC2 with sandbox machines behind it, SeaweedFS for S3; through the command line alone."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from tests.e2e import amazon as aws
from tests.e2e import engine
from tests.e2e.cloud import attempts
from tests.e2e.conftest import User, read_until, until
from tests.e2e.test_dependencies import THREE
from tests.fakes import seaweed
from tests.fakes.aws import MotoCloud
from tests.fakes.aws.fixtures import any_whole_cloud, bucket, cloud

__all__ = ["any_whole_cloud", "bucket", "cloud"]  # fixtures

pytestmark = [pytest.mark.moto, pytest.mark.sandbox, pytest.mark.seaweed]

NO_CAPACITY = "InsufficientInstanceCapacity"
SAVES = "trap 'echo saving; echo kept > out/x; exit 0' TERM; mkdir out; echo ready; sleep 600 & wait"
LONG = f'workflows: {{name: long, provider: bash, commands: ["{SAVES}"], artifacts: [out]}}'


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()


@pytest.fixture(autouse=True)
def on_aws(user: User, cloud: MotoCloud, bucket: str) -> Iterator[None]:
    aws.log_in(user)
    aws.configure(user, cloud, bucket)
    yield
    aws.await_nothing_held(user, cloud)


def refusal(user: User, *args: str) -> str:
    """What is said of a run that can't be."""
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi]}")
    return user("run", "hi", *args, code=None).err


def test_log_exit_code_and_artifacts_of_a_job_that_fails(user: User, cloud: MotoCloud) -> None:
    user.workflows("""
        workflows:
          - name: train
            provider: bash
            commands: [cat name.txt, mkdir -p out/deep && echo weights > out/deep/model.bin, exit 3, echo never]
            artifacts: [out]
    """)
    user.write("name.txt", "here\n")
    answer = user("run", "train", code=3)
    assert answer.out == b"here\n"
    [run] = user.runs()
    assert (run["status"], run["exit_code"]) == ("failed", 3)
    assert user("logs", run["name"]).out == answer.out
    user("artifacts", run["name"], "--output", "got")
    assert (user.folder / "got/out/deep/model.bin").read_text() == "weights\n"
    [machine] = cloud.instances()
    assert machine["tags"]["dstack-run"] == run["name"]


def test_outputs_go_from_machine_to_machine(user: User, cloud: MotoCloud) -> None:
    user.workflows(THREE)
    user.write("code.txt", "code\n")
    assert user("run", "train").text == "downloaded\nencoded\nweights\nWEIGHTS\ncode\n"
    assert len(cloud.instances()) == 3


TRAIN = """
mkdir -p out
step=$(cat out/step 2>/dev/null || echo 0)
test -e ~/.cache/data/points && echo "data came from the cache" || { mkdir -p ~/.cache/data; echo x > ~/.cache/data/points; }
trap 'exit 143' TERM
while [ $step -lt $STEPS ]; do
    step=$((step + 1)); echo $step > out/step; echo "step $step"
    sleep 0.3 & wait $!
done
"""


TRAINING = """
    workflows:
      - name: train
        provider: bash
        commands: [bash train.sh]
        env: [STEPS=60]
        artifacts: [out]
        cache: [~/.cache/data]
        resources: {spot_policy: spot}
"""


def test_spot_training_goes_on_after_an_interruption(user: User, cloud: MotoCloud) -> None:
    user.write("train.sh", TRAIN)
    user.workflows(TRAINING)
    process = user.start("run", "train")
    read_until(process, b"step 5\n")
    [first] = cloud.instances("running")
    assert first["market"] == "spot"
    cloud.interrupt(first["id"], 30)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    [run] = user.runs()
    assert (run["status"], len(attempts(user, run["name"]))) == ("done", 2)
    log = user("logs", run["name"]).text.splitlines()
    assert "data came from the cache" in log
    # a step that was under way may be there twice
    steps = [int(line.split()[1]) for line in log if line.startswith("step")]
    assert (set(steps), len(steps) <= 61) == (set(range(1, 61)), True)
    assert "interrupt" in user("ps", "-a", "-v").text


def test_a_port_of_a_program_that_listens_inside_only(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        local = probe.getsockname()[1]
    user.workflows(f"""
        workflows:
          - name: web
            provider: bash
            ports: ["8765:{local}"]
            commands: [echo served > page, python3 -m http.server 8765 --bind 127.0.0.1]
    """)
    process = user.start("run", "web")
    assert process.stderr
    url = until(lambda: re.search(rb"port 8765 at (http://localhost:\d+)", process.stderr.readline())).group(1).decode()
    with urllib.request.urlopen(f"{url}/page", timeout=60) as page:
        assert page.read() == b"served\n"
    user("stop", user.runs()[0]["name"], "-y")
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_cache_over_two_machines_and_its_end(user: User) -> None:
    user.workflows("""
        workflows:
          - name: cached
            provider: bash
            commands: ["cat ~/.cache/thing || echo cold", echo warm > ~/.cache/thing]
            cache: [~/.cache]
    """)
    assert b"cold\n" in user("run", "cached").out
    assert user("run", "cached").out == b"warm\n"
    assert "cached" in user("prune", "cache", "cached", "-y").text
    assert json.loads(user("prune", "cache", "cached", "-y", "--json").out)["entries"] == []


def test_failover_from_what_has_no_capacity(user: User, cloud: MotoCloud, bucket: str) -> None:
    aws.configure(user, cloud, bucket, regions=["eu-west-3", "us-east-1"])
    cloud.fail("RunInstances", NO_CAPACITY, market="spot")
    cloud.fail("RunInstances", "VcpuLimitExceeded", region="eu-west-3")
    cloud.fail("RunInstances", NO_CAPACITY, zone="us-east-1a")
    user.workflows("""
        workflows: {name: hi, provider: bash, commands: [echo hi], resources: {spot_policy: auto}}
    """)
    assert user("run", "hi").out == b"hi\n"
    [machine] = cloud.instances()
    assert (machine["zone"], machine["market"]) == ("us-east-1b", "on-demand")
    shown = user("ps", "-a", "-v").text
    assert NO_CAPACITY in shown
    assert "VcpuLimitExceeded" in shown


def test_when_every_offer_is_refused_it_says_why(user: User, cloud: MotoCloud) -> None:
    cloud.fail("RunInstances", NO_CAPACITY)
    said = refusal(user)
    assert re.search(r"\d+ offers tried: \d+ no capacity", said), said
    assert cloud.instances() == []


def test_two_side_by_side_one_stopped_one_aborted(user: User, cloud: MotoCloud) -> None:
    user.workflows(LONG)
    stopped, aborted = user.submit("long"), user.submit("long")
    for name in (stopped, aborted):
        user.wait_for_log(name, "ready")
    assert len(cloud.instances("running")) == 2
    user("stop", stopped, "-y")
    user("stop", aborted, "--abort", "-y")
    assert user.wait(stopped)["status"] == "stopped"
    assert user.wait(aborted)["status"] == "aborted"
    assert user("logs", stopped).text == "ready\nsaving\n"
    assert "out/x" in user("artifacts", stopped).text
    assert "out/x" not in user("artifacts", aborted, code=None).text


@pytest.mark.parametrize("stage", ["submitted", "provisioning", "downloading", "running"])
def test_ctrl_c_ends_it_at_every_stage(user: User, cloud: MotoCloud, stage: str) -> None:
    user.workflows(LONG)
    order = ["submitted", "provisioning", "downloading", "running", "uploading", "done", "failed"]
    process = user.start("run", "long")
    until(lambda: user.runs() and user.runs()[0]["status"] in order[order.index(stage) :])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert user.wait(user.runs()[0]["name"])["status"] in ("stopped", "aborted")
    until(lambda: cloud.held() == [])


def test_without_its_server_a_machine_finishes_alone(user: User, cloud: MotoCloud) -> None:
    user.workflows("""
        workflows:
          - name: count
            provider: bash
            commands: ['for i in $(seq 1 50); do echo line $i; sleep 0.1; done', mkdir out, echo 1 > out/x]
            artifacts: [out]
    """)
    name = user.submit("count")
    user.wait_for_log(name, "line 5")
    user.kill_server()
    until(lambda: cloud.held() == [])
    assert cloud.instances()[0]["reason"] == "Client.InstanceInitiatedShutdown"
    assert user.wait(name)["status"] == "done"
    assert user("logs", name).text.splitlines() == [f"line {n}" for n in range(1, 51)]
    assert "out/x" in user("artifacts", name).text


def test_a_machine_that_dies_without_notice_is_replaced(user: User, cloud: MotoCloud) -> None:
    # what was printed in the last two seconds dies with it
    user.workflows("workflows: {name: long, provider: bash, commands: [echo ready, sleep 5, echo steady, sleep 600]}")
    name = user.submit("long")
    user.wait_for_log(name, "steady")
    cloud.kill(cloud.instances("running")[0]["id"])
    until(lambda: user("logs", name).text.count("ready\n") == 2, patience=120)
    assert attempts(user, name) == ["terminated", "busy"]


@pytest.mark.parametrize("code", ["AuthFailure", "ExpiredToken"])
def test_credentials_that_are_wrong_or_have_expired(user: User, cloud: MotoCloud, code: str) -> None:
    cloud.fail("*", code, service="*", access_key="AKIAOLD")
    aws.log_in(user, key="AKIAOLD")
    said = refusal(user)
    assert code in said or "credentials" in said, said
    assert ".aws" in said or "log in" in said or "aws" in said
    assert cloud.instances() == []


def test_a_region_that_is_not_enabled(user: User, cloud: MotoCloud, bucket: str) -> None:
    cloud.fail("*", "OptInRequired", region="eu-south-1")
    aws.configure(user, cloud, bucket, regions=["eu-south-1"])
    assert "eu-south-1" in refusal(user)
    aws.configure(user, cloud, bucket, regions=["eu-south-1", "us-east-1"])
    user("server", "stop", code=None)
    assert user("run", "hi").out == b"hi\n"


def test_a_quota_of_nothing(user: User, cloud: MotoCloud) -> None:
    cloud.set(vcpus=0)
    said = refusal(user)
    assert "quota" in said, said
    assert cloud.instances() == []


def test_no_default_vpc(user: User, cloud: MotoCloud) -> None:
    cloud.remove_default_vpc()
    said = refusal(user)
    assert "default VPC" in said
    assert "create-default-vpc" in said


def test_a_bucket_that_is_missing_or_may_not_be_written(user: User, cloud: MotoCloud, bucket: str) -> None:
    aws.configure(user, cloud, f"{bucket}-nowhere")
    said = refusal(user)
    assert f"{bucket}-nowhere" in said, said
    aws.configure(user, cloud, bucket)
    aws.log_in(user, seaweed.READER_KEY, seaweed.READER_SECRET)
    user("server", "stop", code=None)
    said = refusal(user)
    assert bucket in said or "permission" in said or "denied" in said.lower(), said
    assert cloud.instances() == []
