from __future__ import annotations

import base64
import json

import pytest

from dstack_cloud.runner_bootstrap.payload.engine import (
    Engine,
    EngineError,
    EngineUnavailable,
    default_socket,
    registry_auth,
    split_image,
)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("python", ("python", "latest")),
        ("python:3.11", ("python", "3.11")),
        ("host:5000/a/b", ("host:5000/a/b", "latest")),
        ("host:5000/a/b:1", ("host:5000/a/b", "1")),
        ("a@sha256:0f", ("a", "sha256:0f")),
    ],
)
def test_split_image(name: str, parts: tuple[str, str]) -> None:
    assert split_image(name) == parts


@pytest.mark.parametrize(
    ("repository", "server"),
    [
        ("python", "https://index.docker.io/v1/"),
        ("team/python", "https://index.docker.io/v1/"),
        ("ghcr.io/team/python", "ghcr.io"),
        ("localhost/x", "localhost"),
    ],
)
def test_registry_auth_names_the_registry(repository: str, server: str) -> None:
    header = registry_auth(repository, {"username": "ü", "password": "p"})
    assert json.loads(base64.urlsafe_b64decode(header)) == {"username": "ü", "password": "p", "serveraddress": server}


def test_docker_host_must_be_a_unix_socket() -> None:
    assert str(default_socket({"DOCKER_HOST": "unix:///run/x.sock"})) == "/run/x.sock"
    with pytest.raises(EngineUnavailable, match="only unix"):
        default_socket({"DOCKER_HOST": "tcp://10.0.0.1:2375"})


def test_no_engine(tmp_path) -> None:
    engine = Engine(tmp_path / "nothing.sock")
    assert not engine.available()
    with pytest.raises(EngineUnavailable, match="no Docker engine answers"):
        engine.version()


@pytest.mark.docker
def test_what_is_not_there() -> None:
    engine = Engine()
    assert engine.image("nothing-of-that-name:1") is None
    assert engine.inspect("nothing-of-that-name") is None
    engine.kill("nothing-of-that-name")
    engine.remove("nothing-of-that-name")
    with pytest.raises(EngineError) as caught:
        engine.start("nothing-of-that-name")
    assert caught.value.status == 404
    assert "nothing-of-that-name" in caught.value.message
