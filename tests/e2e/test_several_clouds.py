"""One project on three emulated clouds at once: the cheapest is taken, and a job goes on where there is room."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import leftovers
from tests.e2e import engine
from tests.e2e.conftest import User, read_until, until
from tests.e2e.test_aws import TRAIN, TRAINING
from tests.fakes.clouds import FULL, NAMES, Clouds

pytestmark = [
    *(pytest.mark.moto, pytest.mark.google, pytest.mark.azure, pytest.mark.sandbox),
    *(pytest.mark.seaweed, pytest.mark.azurite),
]


@pytest.fixture(scope="module")
def clouds() -> Iterator[Clouds]:
    engine.ensure_job_image()
    engine.ensure_machine_image()
    with Clouds(machines=True, store=True) as found:
        yield found


@pytest.fixture(autouse=True)
def on_three(user: User, clouds: Clouds) -> Iterator[None]:
    configure(user, clouds)
    yield
    clouds.forgive()
    user("stop", "--all", "--abort", "-y", code=None)
    until(lambda: all(status in engine.GONE for status in engine.instances(user).values()))
    until(lambda: clouds.held() == [])
    labels = [cloud.label for cloud in clouds.each.values()]
    until(lambda: bodies(labels) == [])


def bodies(labels: list[str]) -> list[str]:
    """Their containers and volumes in Docker."""
    known = [text for text in leftovers.in_docker() if not text.startswith("network")]
    return [text for text in known if any(label in text for label in labels)]


def configure(user: User, clouds: Clouds, **more: Any) -> None:
    """The home store is at AWS, or what `more` says."""
    person = user.home.parent / "person"
    project = clouds.project(person, **{"store": f"s3://{clouds.bucket()}", **more})
    user.home.mkdir(exist_ok=True)
    document = {"projects": {"main": project}, "default_image": "dstack-cloud/job:py{python}"}
    (user.home / "config.yaml").write_text(json.dumps(document))
    user.env["HOME"] = str(person)


def offered(user: User, *more: str) -> list[dict[str, Any]]:
    found: dict[str, Any] = json.loads(user("offers", "--json", *more).out)
    assert found["refusals"] == []
    assert {offer["backend"] for offer in found["offers"]} == set(NAMES) == set(found["priced_at"])
    offers: list[dict[str, Any]] = found["offers"]
    return offers


def machines(user: User) -> list[dict[str, Any]]:
    return [instance for job in user.runs()[0]["jobs"] for instance in job["instances"]]


def test_a_spot_job_that_is_interrupted_on_one_cloud_goes_on_on_the_next_cheapest(user: User, clouds: Clouds) -> None:
    prices = [offer["price"] for offer in offered(user, "--spot")]
    assert prices == sorted(prices)
    order = list(dict.fromkeys(offer["backend"] for offer in offered(user, "--spot")))
    user.write("train.sh", TRAIN)
    user.workflows(TRAINING)
    process = user.start("run", "train")
    read_until(process, b"step 5\n", patience=180)
    [first] = clouds.running(order[0])
    assert first["market"] == "spot"
    clouds.each[order[0]].fail(*FULL[order[0]])
    clouds.each[order[0]].interrupt(first["id"], 20)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert [each["backend"] for each in machines(user) if each["status"] == "terminated"] == order[:2]
    log = user("logs", user.runs()[0]["name"]).text.splitlines()
    # a step that was under way may be there twice
    steps = [int(line.split()[1]) for line in log if line.startswith("step")]
    assert (set(steps), len(steps) <= 61) == (set(range(1, 61)), True)
    assert "data came from the cache" in log


def test_machines_elsewhere_are_lent_the_store_for_their_job_only_or_the_server_carries(
    user: User, clouds: Clouds
) -> None:
    """The emulated clouds refuse what is lent at any other place: see the contract of each store."""
    user.workflows("""
        workflows:
          - {name: hi, provider: bash, commands: [mkdir out, echo hi > out/x], artifacts: [out]}
    """)
    assert run_elsewhere(user, "gcp", lambda: clouds.aws.calls("GetFederationToken", "sts")) > 0
    clouds.gcp.make_bucket("home-at-google")
    move_home(user, clouds, store="gs://home-at-google", store_options={"base_url": clouds.gcp.store})
    assert run_elsewhere(user, "azure", lambda: clouds.gcp.calls("exchange", "sts")) > 0
    log = (user.home / "server.log").read_text()
    assert "the server carries" not in log and "nothing is lent" not in log
    # Azure lends nothing that is for one job only
    move_home(user, clouds, store=f"az://{clouds.azure.make_container()}")
    run_elsewhere(user, "aws", lambda: 0)
    assert "nothing is lent of az://" in (user.home / "server.log").read_text()


def move_home(user: User, clouds: Clouds, **store: Any) -> None:
    user("server", "stop", code=None)
    configure(user, clouds, **store)


def run_elsewhere(user: User, backend: str, lent: Callable[[], int]) -> int:
    """A job on another cloud than the store's, whose artifacts arrive; how often something was lent for it."""
    before = lent()
    user("run", "hi", "--backend", backend, "-d")
    run = user.wait(user.runs()[0]["name"])
    assert run["status"] == "done", run
    user("artifacts", run["name"], "--output", backend)
    assert (user.folder / backend / "out/x").read_text() == "hi\n"
    return lent() - before
