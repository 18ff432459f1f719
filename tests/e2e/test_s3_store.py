"""A project whose home store is S3: what users see when it works, when it is away for a while, and when it can't be used."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import amazon as aws
from tests.e2e.conftest import Answer, User, until
from tests.fakes.forwarder import Forwarder
from tests.fakes.seaweed import KEY, READER_KEY, READER_SECRET, REGION, SECRET, Seaweed

pytestmark = pytest.mark.seaweed

HI = "workflows: {name: hi, provider: bash, commands: [echo hi]}"


@pytest.fixture(scope="module")
def weed() -> Iterator[Seaweed]:
    with Seaweed() as server:
        yield server


@pytest.fixture
def bucket(weed: Seaweed) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    weed.make_bucket(name)
    return name


@pytest.fixture
def road(weed: Seaweed) -> Iterator[Forwarder]:
    with Forwarder(weed.url, "127.0.0.1") as forwarder:
        yield forwarder


@pytest.fixture(autouse=True)
def on_s3(user: User, bucket: str, road: Forwarder) -> None:
    aws.log_in(user, KEY, SECRET)
    configure(user, f"s3://{bucket}/team", road.url)


def configure(user: User, store: str, endpoint: str, **options: str) -> None:
    """Writes config.yaml, for the next server. JSON is YAML."""
    user.home.mkdir(exist_ok=True)
    here = {"endpoint": endpoint, "region": REGION, "allow_http": "true", **options}
    project = {"store": store, "store_options": here, "settings": {"aws": {"profile": "default"}}}
    (user.home / "config.yaml").write_text(json.dumps({"projects": {"main": project}}))


def objects(weed: Seaweed, bucket: str) -> list[str]:
    return [each["Key"] for each in weed.client().list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_log_artifacts_and_cache_over_two_runs_and_their_end(user: User, weed: Seaweed, bucket: str) -> None:
    user.workflows("""
        workflows:
          - name: train
            provider: bash
            commands: ["cat ~/.cache/x || echo cold", mkdir -p ~/.cache out, echo warm > ~/.cache/x, cat here > out/a]
            artifacts: [out]
            cache: [~/.cache]
    """)
    user.write("here", "text\n")
    user.env["XDG_CACHE_HOME"] = str(user.home.parent / "xdg")
    assert user("run", "train").text.endswith("cold\n")
    assert user("run", "train").text == "warm\n"
    name = user.runs()[0]["name"]
    assert user("logs", name).text == "warm\n"
    user("artifacts", name, "--output", "got")
    assert (user.folder / "got/out/a").read_text() == "text\n"
    assert all(key.startswith("team/") for key in objects(weed, bucket))
    user("prune", "cache", "train", "-y")
    for run in user.runs():
        user("rm", run["name"], "-y")
    assert [key for key in objects(weed, bucket) if not key.startswith("team/code/")] == []


COUNT = """
    workflows:
      - name: count
        provider: bash
        commands: ['for i in $(seq 1 80); do echo line $i; sleep 0.1; done', mkdir out, echo 1 > out/x]
        artifacts: [out]
"""


def test_away_for_a_while_in_the_middle_of_a_run_nothing_is_lost(user: User, road: Forwarder) -> None:
    user.workflows(COUNT)
    name = user.submit("count")
    user.wait_for_log(name, "line 5")
    road.cut()
    runners = user.home / "runners"
    until(
        lambda: any(
            b"line 80" in path.read_bytes() for path in runners.rglob("*") if "log" in path.name and path.is_file()
        )
    )
    seen = road.refused
    until(lambda: road.refused > seen + 2)
    road.mend()
    assert user.wait(name)["status"] == "done"
    assert user("logs", name).text.splitlines() == [f"line {n}" for n in range(1, 81)]
    assert "out/x" in user("artifacts", name).text


def remove_bucket(weed: Seaweed, bucket: str) -> bool:
    """False where something was put into it meanwhile."""
    client = weed.client()
    for key in objects(weed, bucket):
        client.delete_object(Bucket=bucket, Key=key)
    try:
        client.delete_bucket(Bucket=bucket)
    except client.exceptions.ClientError:
        return False
    return True


def test_a_bucket_that_goes_while_a_job_runs_is_told_and_the_job_can_be_stopped(
    user: User, weed: Seaweed, bucket: str
) -> None:
    user.workflows("workflows: {name: long, provider: bash, commands: ['while true; do echo x; sleep 0.1; done']}")
    name = user.submit("long")
    user.wait_for_log(name, "x")
    until(lambda: remove_bucket(weed, bucket))
    until(lambda: f"the bucket {bucket} doesn't exist" in user("ps", "-a", "-v").text)
    assert user.run(name)["status"] == "running"
    user("stop", name, "--abort", "-y")
    assert user.wait(name)["status"] == "aborted"


def refusals(user: User) -> tuple[Answer, Answer]:
    """What a run and the check say; no machine was made."""
    user.workflows(HI)
    answers = user("run", "hi", code=1), user("config", "check", code=1)
    assert user.runs() == []
    return answers


@pytest.mark.parametrize(
    ("key", "secret", "said", "hint"),
    [
        (READER_KEY, READER_SECRET, "AccessDenied", "PutObject"),
        ("AKIAWRONG", SECRET, "InvalidAccessKeyId", "~/.aws"),
        (KEY, "nonsense", "SignatureDoesNotMatch", "secret key"),
        ("", "", "profile (default)", "~/.aws"),
    ],
)
def test_credentials_that_do_not_do(user: User, key: str, secret: str, said: str, hint: str) -> None:
    aws.log_in(user, key, secret)
    if not key:
        (Path(user.env["HOME"]) / ".aws/credentials").unlink()
    run, check = refusals(user)
    for text in (run.err, check.text):
        assert said in text
        assert hint in text


def test_a_bucket_that_does_not_exist(user: User, road: Forwarder) -> None:
    configure(user, "s3://nowhere-at-all", road.url)
    run, check = refusals(user)
    for text in (run.err, check.text):
        assert "the bucket nowhere-at-all doesn't exist" in text
        assert "make it, or correct the store's URL" in text


def test_a_store_that_does_not_answer(user: User, road: Forwarder) -> None:
    road.cut()
    run, check = refusals(user)
    for text in (run.err, check.text):
        assert f"the object store {road.url} can't be reached" in text


def test_rights_that_are_lost_after_the_code_was_uploaded(user: User) -> None:
    user.workflows(HI)
    user("run", "hi")
    user("server", "stop")
    aws.log_in(user, READER_KEY, READER_SECRET)
    assert "AccessDenied" in user("run", "hi", code=1).err
    assert len(user.runs()) == 1
    aws.log_in(user, KEY, SECRET)
    user("server", "stop")
