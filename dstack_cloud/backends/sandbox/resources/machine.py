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
from dstack_cloud.domain.resources import Gpu, Offer

OWNER_LABEL = "dstack.owner"
KEY_LABEL = "dstack.key"
# what the offer was, for whoever asks the machine's metadata service
REGION_LABEL, ZONE_LABEL, TYPE_LABEL, SPOT_LABEL = "dstack.region", "dstack.zone", "dstack.type", "dstack.spot"
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
    """Where a machine is put: the image it boots, its network, the resolvers and the mirror that it is told of, and the
    metadata service (HOST:PORT; "": none) that 169.254.169.254 leads to."""

    image: str
    network: str
    resolvers: tuple[str, ...]
    mirror: str
    metadata: str = ""


def specification(
    config: SandboxConfig, place: Place, name: str, labels: Mapping[str, str], offer: Offer | None = None
) -> dict[str, Any]:
    """The body of `POST /containers/create`; a machine as large as the offer's, or as the configuration says."""
    cpu, memory = (offer.machine.cpu, offer.machine.memory) if offer else (config.cpu, config.memory)
    told = {
        "MACHINE_DNS": " ".join(place.resolvers),
        "MACHINE_MIRROR": place.mirror,
        "MACHINE_METADATA": place.metadata,
        "MACHINE_GPUS": ";".join(_gpu(gpu) for gpu in offer.machine.gpus) if offer else "",
        "MACHINE_BOOT_DELAY": f"{config.boot_delay:g}" if config.boot_delay else "",
    }
    return {
        "Image": place.image,
        "Hostname": name,
        "Labels": dict(labels) | (_offer_labels(offer) if offer else {}),
        "Env": [f"{variable}={value}" for variable, value in told.items()],
        "HostConfig": {
            **_isolation(),
            "Memory": memory,
            "MemorySwap": memory,
            "NanoCpus": cpu * 10**9,
            "NetworkMode": place.network,
            "Tmpfs": MEMORY_FOLDERS,
            # the inner engine's overlays can't lie on an overlay; anonymous, so that it goes with the container
            "Mounts": [{"Type": "volume", "Target": "/var/lib/docker", "VolumeOptions": {"Labels": dict(labels)}}],
            "LogConfig": {"Type": "none"},
        },
    }


def _offer_labels(offer: Offer) -> dict[str, str]:
    place = {REGION_LABEL: offer.region, ZONE_LABEL: offer.zone or offer.region}
    return place | {TYPE_LABEL: offer.instance_type, SPOT_LABEL: "true" if offer.spot else "false"}


def _gpu(gpu: Gpu) -> str:
    return f"{gpu.name}:{gpu.memory // 2**20}"


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
