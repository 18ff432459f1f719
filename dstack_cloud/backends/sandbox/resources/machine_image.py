"""The image that a sandbox machine boots: systemd, sshd, cloud-init, a Docker engine, and the job image in that engine.

It is made on first use in three steps, each kept by the digest of what it is made of: the packages (from a base image, or of
Debian's packages), the inner engine's disk with the job image on it, and the two together with the files of `rootfs/`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dstack_cloud.backends.sandbox.client import DockerClient, tar_file
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import building, debian, inner_disk, job_image
from dstack_cloud.errors import InvalidConfiguration

log = logging.getLogger(__name__)

ROOTFS = Path(__file__).parent / "rootfs"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "docker.io", "iptables", "iproute2", "cloud-init", "sudo"),
    *("python3", "ca-certificates", "netbase", "procps", "zstd"),
)
DOCKERFILE = """\
FROM {packages}
COPY rootfs/ /
RUN sh /configure.sh && rm /configure.sh
ADD disk.tar /var/lib/
ENV container=docker
STOPSIGNAL SIGRTMIN+3
CMD ["/usr/local/sbin/machine-init"]
"""


def name(config: SandboxConfig) -> str:
    if config.machine_image:
        return config.machine_image
    parts = (_packages_name(config), config.job_image, job_image.recipe(), DOCKERFILE, _rootfs())
    return f"dstack-cloud/machine:{_digest(*parts)}"


def ensure(client: DockerClient, config: SandboxConfig) -> str:
    """The image's name, once the engine has it. Takes about a minute the first time; one process at a time builds it.

    Raises InvalidConfiguration where it can't be built here, with what to install.
    """
    wanted = name(config)
    if client.image(wanted) is not None:
        return wanted
    if config.machine_image:
        building.pull(client, wanted)
        return wanted
    with _alone(config.cache):
        if client.image(wanted) is None:
            _build(client, config, wanted)
    return wanted


def ensure_packages(client: DockerClient, config: SandboxConfig) -> str:
    """The image with the packages alone: from `base_image` where that can be had, else of Debian's packages."""
    wanted = _packages_name(config)
    if client.image(wanted) is not None:
        return wanted
    if building.obtain(client, config.base_image):
        log.info("building the sandbox machine's packages on %s", config.base_image)
        text = building.APT_INSTALL.format(base=config.base_image, packages=" ".join(PACKAGES))
        building.build(client, wanted, building.dockerfile(text))
    elif missing := debian.available():
        raise InvalidConfiguration(
            f"can't build the sandbox's machine: the image {config.base_image} can't be pulled, and {missing}",
            "let Docker pull it, or set `base_image` to one that you have, or install mmdebstrap and run as root once",
        )
    else:
        log.info("making the sandbox machine of Debian's packages (about a minute, once)")
        _make_packages(client, config, wanted)
    return wanted


def _make_packages(client: DockerClient, config: SandboxConfig, wanted: str) -> None:
    with tempfile.TemporaryDirectory(prefix="dstack-image-") as folder:
        tar = Path(folder) / "machine.tar"
        # cloud-init recommends gnupg, which brings twenty packages that nothing here uses
        system = debian.FileSystem((*PACKAGES, "gnupg-"), "minbase")
        debian.make(system, tar, mirror=config.debian_mirror, cache=config.cache)
        building.load(client, tar, wanted, ('CMD ["/bin/bash"]',))


def _build(client: DockerClient, config: SandboxConfig, wanted: str) -> None:
    packages = ensure_packages(client, config)
    job = job_image.ensure(client, config)
    with tempfile.TemporaryDirectory(prefix="dstack-image-") as folder:
        disk = Path(folder) / "disk.tar"
        # files that an upper layer deletes are marked by devices, which don't survive the way into the machine's image
        if job_image.layers(client, job) == 1:
            log.info("putting the job image %s onto the sandbox machine's disk", job)
            inner_disk.make(client, packages, job, disk)
        else:
            tarfile.open(disk, "w").close()
        context = Path(folder) / "context.tar"
        with tarfile.open(context, "w") as tar:
            building.add_text(tar, "Dockerfile", DOCKERFILE.format(packages=packages))
            tar.add(ROOTFS, "rootfs", filter=_owned_by_root)
            tar.add(disk, "disk.tar")
        disk.unlink()
        building.build(client, wanted, tar_file(context))
    log.info("the sandbox machine %s is ready", wanted)


def _packages_name(config: SandboxConfig) -> str:
    return f"dstack-cloud/machine-packages:{_digest(debian.SUITE, config.base_image, building.APT_INSTALL, *PACKAGES)}"


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _rootfs() -> list[list[str]]:
    files = sorted(path for path in ROOTFS.rglob("*") if path.is_file())
    return [[str(path.relative_to(ROOTFS)), path.read_text()] for path in files]


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The checkout's owner and umask don't belong on a machine; sshd would refuse files that others can write."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    executable = member.isdir() or "/sbin/" in member.name
    member.mode = 0o755 if executable else 0o644
    return member


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
