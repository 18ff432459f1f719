"""A project whose home store is S3: what users see when it works, when it is away for a while, and when it can't be used."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e import cloud as aws
from tests.e2e.conftest import User
from tests.fakes.forwarder import Forwarder
from tests.fakes.seaweed import KEY, REGION, SECRET, Seaweed

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
