"""`images/job/Dockerfile`: an image with all that a job may count on, as the default image of jobs in this computer's engine.

It is built on Debian's packages, since no registry of images can be reached from everywhere: so without conda.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.sandbox.client import DockerClient, as_tar
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import machine_image
from dstack_cloud.errors import BackendError
from tests.e2e import engine
from tests.e2e.conftest import User

pytestmark = pytest.mark.sandbox

FOLDER = Path(__file__).parents[2] / "images/job"
NAME = "dstack-cloud-test/full:py{python}"


def build(python: str) -> Iterator[str]:
    """What the build says. It takes a second where the engine has the layers."""
    client = DockerClient()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        tar.add(FOLDER, ".")
    base = machine_image.ensure_packages(client, SandboxConfig())
    options = {"t": NAME.replace("{python}", python), "buildargs": json.dumps({"BASE": base, "PYTHON": python})}
    yield from client.progress("/build", {**options, "rm": "1", "forcerm": "1"}, as_tar(context.getvalue()))


@pytest.fixture
def in_docker(user: User) -> Iterator[User]:
    user.env.update(DSTACK_LOCAL_MODE="docker", DSTACK_DEFAULT_IMAGE=NAME)
    yield user
    engine.await_nothing_held(user)


def test_a_job_without_an_image_finds_python_pip_git_curl_and_a_compiler(in_docker: User) -> None:
    list(build("3.11"))
    in_docker.write("answer.c", "#include <Python.h>\nint main() { return 42; }\n")
    in_docker.workflows("""
        workflows:
          - name: it
            python: 3.11
            commands:
              - pwd; python -c 'import sys; print(*sys.version_info[:2])'
              - pip --version >/dev/null && git --version >/dev/null && curl --version >/dev/null && echo all
              - python -m venv /tmp/own && /tmp/own/bin/pip --version >/dev/null && echo its own
              - cc $(python3-config --includes) answer.c -o answer && ./answer
    """)
    assert in_docker("run", "it", code=42).out == b"/workflow\n3 11\nall\nits own\n"


def test_a_base_that_has_another_python_is_refused() -> None:
    said = ""
    with pytest.raises(BackendError):
        for line in build("3.12"):
            said += line
    assert "Python is 3.11" in said
