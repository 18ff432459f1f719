"""The mirror against the real engine, asked as a machine's engine would ask."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import socket
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.sandbox.client import DockerClient, as_tar
from dstack_cloud.backends.sandbox.resources import building, mirror
from dstack_cloud.backends.sandbox.resources.network import Network

pytestmark = pytest.mark.docker
MACHINE = "127.0.0.2"
NETWORK = Network("here", "127.0.0.1", "127.0.0.0/8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """An image of three layers, two of them alike."""
    client, name = DockerClient(), f"dstack-test-mirror-{uuid.uuid4().hex[:8]}"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        building.add_text(tar, "greeting", "hello")
        building.add_text(tar, "Dockerfile", "FROM scratch\nCOPY greeting /a\nCOPY greeting /b\nCOPY greeting /a\n")
    building.build(client, f"{name}:1", as_tar(content.getvalue()))
    yield f"{name}:1"
    client.call("DELETE", f"/images/{name}:1")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    chosen = free_port()
    serving = mirror.start(DockerClient(), NETWORK, chosen, tmp_path / "spool")
    assert serving is not None
    yield chosen
    serving.close()
    assert not (tmp_path / "spool").exists()


def ask(port: int, path: str, source: str = MACHINE, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(source, 0))
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_blob_that_the_manifest_names_is_what_its_digest_says(port: int, image: str) -> None:
    name, tag = image.split(":")
    status, manifest = ask(port, f"/v2/library/{name}/manifests/{tag}")
    assert status == 200
    found = json.loads(manifest)
    for part in [found["config"], *found["layers"]]:
        status, blob = ask(port, f"/v2/library/{name}/blobs/{part['digest']}")
        assert (status, len(blob)) == (200, part["size"])
        assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == part["digest"]
    assert len(found["layers"]) == 3


def test_the_config_is_the_images_own(port: int, image: str) -> None:
    name, tag = image.split(":")
    manifest = json.loads(ask(port, f"/v2/library/{name}/manifests/{tag}")[1])
    known = DockerClient().image(image)
    assert known is not None
    assert manifest["config"]["digest"] == known["Id"]
    assert [layer["digest"] for layer in manifest["layers"]] == known["RootFS"]["Layers"]


def test_a_manifest_can_be_asked_for_by_its_digest(port: int, image: str) -> None:
    name, tag = image.split(":")
    manifest = ask(port, f"/v2/library/{name}/manifests/{tag}")[1]
    digest = hashlib.sha256(manifest).hexdigest()
    assert ask(port, f"/v2/library/{name}/manifests/sha256:{digest}") == (200, manifest)
    assert ask(port, f"/v2/library/{name}/manifests/{tag}", method="HEAD") == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/library/dstack-no-such/manifests/1",
        "/v2/library/x/blobs/sha256:" + "0" * 64,
        "/v2/x/blobs/..%2f..%2fetc%2fpasswd",
        "/v2/x/blobs/sha256:../../secret",
        "/somewhere",
    ],
)
def test_what_is_not_there_is_not_found(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


def test_only_machines_are_answered(port: int) -> None:
    assert ask(port, "/v2/")[0] == 200
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(port, "/v2/", source="127.0.0.1")


def test_one_of_two_processes_serves(port: int, tmp_path: Path) -> None:
    assert mirror.start(DockerClient(), NETWORK, port, tmp_path / "other") is None
