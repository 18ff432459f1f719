"""The configurations of examples/pipelines, each on this computer and on a sandbox machine."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from pathlib import Path

import pytest

from tests.e2e import engine
from tests.e2e.conftest import User, until

EXAMPLE = Path(__file__).parents[2] / "examples" / "pipelines"
SAVED = {"lightning_logs/metrics.jsonl", "lightning_logs/model.json"}
SANDBOX = ("--backend", "sandbox")


@pytest.fixture(autouse=True)
def in_its_folder(user: User) -> None:
    shutil.copytree(EXAMPLE, user.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def saved(user: User, name: str) -> set[str]:
    return {entry["path"] for entry in json.loads(user("artifacts", name, "--json").out) if entry["kind"] == "file"}


def trained(user: User, name: str, batch: int = 16) -> None:
    """It has run to its end with batches of this size, and its artifacts are there."""
    assert user.wait(name)["status"] == "done", user("logs", name).text
    log = user("logs", name).text
    assert f"batches of {batch}\n" in log
    assert len(re.findall(r"^Epoch \d: loss", log, re.MULTILINE)) == 5
    assert saved(user, name) == SAVED


def ports_work(user: User, *where: str) -> None:
    process = user.start("run", "train-ports", *where)
    assert process.stderr
    url = until(lambda: re.search(rb"port 6006 at (http://localhost:\d+)", process.stderr.readline())).group(1).decode()
    until(lambda: b"metrics.jsonl" in read(url))
    assert json.loads(read(f"{url}/metrics.jsonl").splitlines()[0])["epoch"] == 1
    name = user.runs()[0]["name"]
    user("stop", name, "-y")
    process.communicate(timeout=120)
    user.wait(name)
    assert "lightning_logs/metrics.jsonl" in saved(user, name)


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def cache_works(user: User, *where: str) -> None:
    first, second = (user("run", "train-cached", *where).text for _ in range(2))
    assert "data/points.csv is new\nrun 1 with this cache\n" in first
    assert "data/points.csv came from the cache\nrun 2 with this cache\n" in second
    assert "train-cached" in user("prune", "cache", "train-cached", "-y").text


def test_every_configuration_is_listed_and_valid(user: User) -> None:
    user("validate")
    listed = user("run").text
    for text in (EXAMPLE / ".dstack/workflows").glob("*.yaml"):
        for name in re.findall(r"- name: (\S+)", text.read_text()):
            assert name in listed


def test_train_with_arguments_and_resources_here(user: User) -> None:
    plain, resources = user.submit("train"), user.submit("train-resources")
    with_arguments = user("run", "train-args", "--batch-size", "32", "-d").text.strip()
    trained(user, plain)
    trained(user, resources)
    trained(user, with_arguments, batch=32)


def test_ports_here(user: User) -> None:
    ports_work(user)


def test_cache_here(user: User) -> None:
    cache_works(user)


@pytest.mark.docker
def test_an_image_here(user: User) -> None:
    engine.ensure_job_image()
    user.env["DSTACK_LOCAL_MODE"] = "auto"
    trained(user, user.submit("train-docker"))
    engine.await_nothing_held(user)


@pytest.mark.parametrize("where", [(), pytest.param(SANDBOX, marks=pytest.mark.sandbox)])
def test_what_no_machine_here_can_do_is_refused(user: User, where: tuple[str, ...]) -> None:
    answer = user("run", "train-v100-spot", *where, code=2)
    assert "spot" in answer.err or "V100" in answer.err
    assert user.runs() == []


@pytest.mark.sandbox
def test_every_kind_on_machines_of_their_own(user: User) -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()
    names = [user.submit(name, *SANDBOX) for name in ("train", "train-resources", "train-docker")]
    with_arguments = user("run", "train-args", *SANDBOX, "--batch-size", "32", "-d").text.strip()
    ports_work(user, *SANDBOX)  # beside the others, which boot and train meanwhile
    for name in names:
        trained(user, name)
    trained(user, with_arguments, batch=32)
    cache_works(user, *SANDBOX)
    engine.await_nothing_held(user)
