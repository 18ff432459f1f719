from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dstack_cloud import errors
from dstack_cloud.backends.aws.client import CALLS_A_SECOND, LAUNCH, AwsClient, Pace, store_credentials
from dstack_cloud.backends.aws.config import AwsConfig
from tests.fakes.aws import REGION
from tests.unit.aws.conftest import write_keys

WITHOUT_BOTO3 = """
import sys
sys.modules["boto3"] = None
from pathlib import Path
from dstack_cloud.backends.registry import make_backends
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration
aws = make_backends(Path(sys.argv[1]), "me", {"aws": {"regions": ["eu-west-1"]}}, "")["aws"]
assert "botocore" not in sys.modules, "the SDK was paid for"
assert aws.list_owned() == []
try:
    aws.offers(Requirements())
except InvalidConfiguration as wrong:
    print(wrong.hint)
"""


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-6)


def most_within_a_second(starts: list[float]) -> int:
    return max(sum(start <= other < start + 1.0 for other in starts) for start in starts)


def test_never_more_calls_than_allowed_within_any_second() -> None:
    clock = Clock()
    pace, starts = Pace(clock, clock.sleep), []
    for number in range(30):
        pace.wait(LAUNCH if number % 2 else "DescribeInstances")
        starts.append(clock.now)
    assert most_within_a_second(starts) <= CALLS_A_SECOND


def test_launches_leave_room_for_other_calls() -> None:
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    for _ in range(3):
        pace.wait(LAUNCH)
    pace.wait("TerminateInstances")
    assert clock.now == 100.0
    pace.wait(LAUNCH)
    assert clock.now >= 101.0


def test_throttled_everybody_waits_longer_each_time() -> None:
    clock = Clock()
    pace, waited = Pace(clock, clock.sleep), []
    for _ in range(4):
        pace.throttled()
        before = clock.now
        pace.wait("DescribeInstances")
        waited.append(round(clock.now - before))
    assert waited == [1, 2, 4, 8]


def test_who_would_wait_too_long_is_sent_away() -> None:
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    for _ in range(6):
        pace.throttled()
        clock.now += 2**5
    pace.throttled()
    with pytest.raises(errors.Throttled):
        pace.wait("DescribeInstances")


def test_the_sdk_keeps_the_pace(config: AwsConfig) -> None:
    client = AwsClient(config)
    threads = [threading.Thread(target=client.ec2(REGION).describe_regions) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client.pace(REGION).recent) == 3


def test_without_boto3_it_says_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BOTO3, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "pip install 'dstack-cloud[aws]'" in done.stdout, done.stderr


def test_a_profile_that_is_not_there(config: AwsConfig) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="nobody") as caught:
        AwsClient(config.model_copy(update={"profile": "nobody"})).session()
    assert caught.value.hint and "~/.aws" in caught.value.hint


def test_no_region_anywhere(config: AwsConfig) -> None:
    with pytest.raises(errors.InvalidConfiguration, match="no AWS region"):
        _ = AwsClient(config.model_copy(update={"regions": ()})).regions


def test_credentials_for_the_store_come_from_the_profile(config: AwsConfig) -> None:
    given = store_credentials(config)()
    keys = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).read_text()
    assert str(given["access_key_id"]) in keys and str(given["secret_access_key"]) in keys
    assert timedelta(0) < given["expires_at"] - datetime.now(timezone.utc) <= timedelta(minutes=10)


def test_who_logs_in_again_is_followed(config: AwsConfig) -> None:
    client = AwsClient(config)
    file = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    before = client.sts()
    assert client.sts() is before
    write_keys(file.parent, default=("AKIAOTHER", "other-secret"))
    assert (client.credentials()["access_key_id"], client.sts() is before) == ("AKIAOTHER", False)


def test_no_credentials_at_all(config: AwsConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_keys(tmp_path)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(errors.NotAuthorized, match=r"no AWS credentials in ~/\.aws"):
        store_credentials(config)()
