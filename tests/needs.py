"""What a test may need of the computer it runs on, and how to see whether it's there."""

from __future__ import annotations

import functools
import http.client
import json
import os
import shutil
import socket
from typing import Any

# a loaded engine is slow to answer, an absent one refuses at once
ENGINE_TIMEOUT_SECONDS = 30


class EngineConnection(http.client.HTTPConnection):
    """A connection to the Docker engine, without anything of the product in between."""

    def __init__(self) -> None:
        super().__init__("docker", timeout=ENGINE_TIMEOUT_SECONDS)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))


def ask_engine(path: str) -> Any:
    """The engine's JSON answer to a GET. Raises OSError where no engine answers."""
    connection = EngineConnection()
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except http.client.HTTPException as error:
        raise OSError(f"not a Docker engine: {error}") from error
    finally:
        connection.close()


@functools.cache
def lacks_docker() -> str:
    """Why no container can be run here; "" where one can."""
    try:
        ask_engine("/version")
    except OSError as error:
        return f"no Docker engine answers ({error}): start one, or set DOCKER_HOST"
    return ""


@functools.cache
def lacks_sandbox() -> str:
    """Why no sandbox machine can be booted here; "" where one can."""
    if lack := lacks_docker():
        return lack
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap, which builds the machine's image, isn't installed"
    if os.geteuid() != 0:
        return "building the machine's image with mmdebstrap needs root"
    return ""


LACKS = {"docker": lacks_docker, "sandbox": lacks_sandbox}
