"""The content of a machine's /var/lib/docker with the job image in it, so that a machine needs no registry.

A container of the machine's packages runs an engine just long enough to load the image; what that leaves is the disk.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from dstack_cloud.backends.sandbox.client import DockerClient, as_json, as_tar
from dstack_cloud.backends.sandbox.resources.machine import CAPABILITIES, SECURITY
from dstack_cloud.errors import Unavailable

log = logging.getLogger(__name__)

BUILD_LABEL = "dstack.build"
DISK = "/var/lib/docker"
SAVED = "/mnt"
SCRIPT = f"""
set -eu
dockerd --data-root {DISK} --bridge none --iptables=false --ip6tables=false >/run/engine.log 2>&1 &
engine=$!
tries=0
until docker version >/dev/null 2>&1; do
    tries=$((tries + 1)); [ $tries -lt 600 ] || {{ cat /run/engine.log; exit 1; }}; sleep 0.1
done
tar -C {SAVED} -c . | docker load
kill $engine
wait $engine || true
# the engine's identity, networks and build cache stay behind: each machine makes its own
find {DISK} -mindepth 1 -maxdepth 1 ! -name image ! -name overlay2 -exec rm -rf {{}} +
"""


def make(client: DockerClient, packages: str, job: str, target: Path) -> None:
    """Writes the folder `docker/` with the disk's content to the tar `target`.

    Raises Unavailable where the engine inside doesn't come up.
    """
    spec = {
        "Image": packages,
        "Cmd": ["/bin/sh", "-c", SCRIPT],
        "Labels": {BUILD_LABEL: "disk"},
        "Tty": True,
        "HostConfig": {
            "CapAdd": list(CAPABILITIES),
            "SecurityOpt": list(SECURITY),
            "NetworkMode": "none",
            # the inner engine's overlays can't lie on an overlay
            "Mounts": [{"Type": "volume", "Target": DISK, "VolumeOptions": {"Labels": {BUILD_LABEL: "disk"}}}],
        },
    }
    container = client.call("POST", "/containers/create", body=as_json(spec))["Id"]
    try:
        _load_and_pack(client, container, job)
        with target.open("wb") as file:
            file.writelines(client.stream(f"/containers/{container}/archive", {"path": DISK}))
    finally:
        client.call("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})


def _load_and_pack(client: DockerClient, container: str, job: str) -> None:
    client.call("PUT", f"/containers/{container}/archive", {"path": SAVED}, as_tar(client.stream(f"/images/{job}/get")))
    client.call("POST", f"/containers/{container}/start")
    ended: dict[str, Any] = client.call("POST", f"/containers/{container}/wait")
    if ended["StatusCode"] != 0:
        said = b"".join(client.stream(f"/containers/{container}/logs", {"stdout": "1", "stderr": "1"}))
        raise Unavailable(
            "the sandbox machine's engine could not load the job image", cloud_message=said.decode(errors="replace")
        )
