"""An image that can't be had: the right word for it, at once."""

from __future__ import annotations

import os

import pytest

from dstack_cloud.runner_bootstrap.payload.images import explained
from tests.fakes import engine
from tests.unit.runner.registry import registry
from tests.unit.runner.rig import Rig


@pytest.fixture
def runner(rig: Rig) -> Rig:
    rig.env = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{rig.base}/docker.sock"}
    return rig.start()


def test_a_full_disk(runner: Rig) -> None:
    with engine.serving(runner.base / "docker.sock", pull_error=engine.DISK_FULL):
        state = runner.run("true", mode="docker", image="big:1")
    assert (state.exit_code, state.reason) == (None, "image")
    assert "disk is full" in state.message and "larger disk" in state.message and "GB" in state.message


def test_no_engine(runner: Rig) -> None:
    state = runner.run("true", mode="docker", image="any:1")
    assert (state.exit_code, state.reason) == (None, "start")
    assert "no Docker engine answers" in state.message and "start Docker" in state.message


def test_a_pull_that_breaks_off(runner: Rig) -> None:
    with engine.serving(runner.base / "docker.sock", dies=True):
        state = runner.run("true", mode="docker", image="any:1")
    assert (state.exit_code, state.reason) == (None, "image")
    assert "broke off" in state.message


@pytest.mark.parametrize(
    ("message", "logged_in", "advice"),
    [
        ("manifest for a/b:1 not found: manifest unknown", False, "there is no such image"),
        ("pull access denied for a/b, repository does not exist or may require 'docker login'", False, "registry_auth"),
        (
            "pull access denied for a/b, repository does not exist or may require 'docker login'",
            True,
            "refuses the login",
        ),
        ("Get https://x/v2/: no basic auth credentials", False, "wants a login"),
        ("dial tcp: lookup x: no such host", False, "no such host"),
    ],
)
def test_the_engines_words_are_explained(message: str, logged_in: bool, advice: str) -> None:
    text = explained(message, logged_in=logged_in)
    assert advice in text and message in text


@pytest.mark.docker
@pytest.mark.parametrize(("auth", "advice"), [(None, "wants a login"), ("guess", "refuses the login")])
def test_a_registry_that_wants_another_login(rig: Rig, auth: str | None, advice: str) -> None:
    rig.start()
    with registry("me", "hush") as address:
        login = {"username": "me", "password": auth} if auth else None
        state = rig.run("true", mode="docker", image=f"{address}/team/thing:1", registry_auth=login)
    assert (state.exit_code, state.reason) == (None, "image")
    assert advice in state.message
