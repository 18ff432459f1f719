"""One machine as the Docker Engine API describes it, and the seed that cloud-init finds on its disk. Pure."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dstack_cloud.backends.sandbox.config import SandboxConfig

OWNER_LABEL = "dstack.owner"
KEY_LABEL = "dstack.key"
SEED = "var/lib/cloud/seed/nocloud"

# What a privileged container has, less what a machine must never do to the computer underneath: load modules, raw I/O, set
# its clock, see its disks. Less SYS_RESOURCE as well, which not every engine may give away.
CAPABILITIES = (
    *(
        "AUDIT_CONTROL",
        "AUDIT_READ",
        "AUDIT_WRITE",
        "BLOCK_SUSPEND",
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
    ),
    *("FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE"),
    *(
        "NET_BROADCAST",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_CHROOT",
        "SYS_NICE",
    ),
    *("SYS_PACCT", "SYS_PTRACE", "SYS_TTY_CONFIG", "SYSLOG"),
)
SECURITY = ("seccomp=unconfined", "apparmor=unconfined")
# the engine inside makes device nodes for its own containers: any character device, of block devices only the node
DEVICE_RULES = ("c *:* rwm", "b *:* m")
MEMORY_FOLDERS = {"/run": "exec,mode=755", "/run/lock": "", "/tmp": "exec,mode=1777"}  # noqa: S108 - inside the machine


@dataclass(frozen=True)
class Place:
    """Where a machine is put: the image it boots, its network, the resolvers and the mirror that it is told of."""

    image: str
    network: str
    resolvers: tuple[str, ...]
    mirror: str


def specification(config: SandboxConfig, place: Place, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """The body of `POST /containers/create`."""
    return {
        "Image": place.image,
        "Hostname": name,
        "Labels": dict(labels),
        "Env": [f"MACHINE_DNS={' '.join(place.resolvers)}", f"MACHINE_MIRROR={place.mirror}"],
        "HostConfig": {
            **_isolation(),
            "Memory": config.memory,
            "MemorySwap": config.memory,
            "NanoCpus": config.cpu * 10**9,
            "NetworkMode": place.network,
            "Tmpfs": MEMORY_FOLDERS,
            # the inner engine's overlays can't lie on an overlay; anonymous, so that it goes with the container
            "Mounts": [{"Type": "volume", "Target": "/var/lib/docker", "VolumeOptions": {"Labels": dict(labels)}}],
            "LogConfig": {"Type": "none"},
        },
    }


def _isolation() -> dict[str, Any]:
    return {
        "CapAdd": list(CAPABILITIES),
        "SecurityOpt": list(SECURITY),
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "DeviceCgroupRules": list(DEVICE_RULES),
        "CgroupnsMode": "private",
    }


def seed(user_data: str, key: str, host_name: str) -> bytes:
    """A tar for `/` with cloud-init's NoCloud files; readable by root alone, for the host's private key is in it."""
    files = {
        f"{SEED}/user-data": user_data or "#cloud-config\n",
        f"{SEED}/meta-data": json.dumps({"instance-id": key, "local-hostname": host_name}),
    }
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text.encode()), 0o600
            tar.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


def resolvers(etc: Path = Path("/etc"), run: Path = Path("/run")) -> tuple[str, ...]:
    """This computer's name servers, less those on its loopback address, which no other machine can reach."""
    for path in (etc / "resolv.conf", run / "systemd" / "resolve" / "resolv.conf"):
        if path.is_file():
            words = [line.split() for line in path.read_text().splitlines()]
            found = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
            if usable := tuple(server for server in found if not server.startswith("127.") and server != "::1"):
                return usable
    return ()
