"""What a user's runs have in this computer's Docker engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import job_image, machine_image
from tests import leftovers
from tests.e2e.conftest import User, until

GONE = ("terminated", "refused")


def ensure_job_image() -> str:
    """The default job image's name; built where the engine lacks it."""
    return job_image.ensure(DockerClient(), SandboxConfig())


def ensure_machine_image() -> None:
    machine_image.ensure(DockerClient(), SandboxConfig())


def gateway() -> str:
    """Where containers reach this computer."""
    network = DockerClient().call("GET", "/networks/bridge")
    return str(network["IPAM"]["Config"][0]["Gateway"])


@contextmanager
def tagged(image: str, name: str) -> Iterator[str]:
    """`image` under a second name, which no registry knows."""
    repository, _, tag = name.rpartition(":")
    DockerClient().call("POST", f"/images/{image}/tag", {"repo": repository, "tag": tag})
    yield name
    DockerClient().call("DELETE", f"/images/{name}")


def instances(user: User) -> dict[str, str]:
    """The status of each that was ever made, by id."""
    found = [instance for run in user.runs() for job in run["jobs"] for instance in job["instances"]]
    return {instance["id"]: instance["status"] for instance in found}


def held(user: User) -> list[str]:
    """Containers, volumes and networks of this user's."""
    marks = [(user.home / "installation").read_text().strip(), *instances(user)]
    return [text for text in leftovers.in_docker() if any(mark in text for mark in marks)]


def await_nothing_held(user: User) -> None:
    """Ends what still runs. Afterwards nothing of it is in the engine, and no key is left."""
    user("stop", "--all", "--abort", "-y", code=None)
    until(lambda: all(status in GONE for status in instances(user).values()))
    until(lambda: held(user) == [])
    until(lambda: not (user.home / "keys").exists() or list((user.home / "keys").iterdir()) == [])
