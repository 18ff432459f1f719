"""The image that a sandbox machine boots: systemd, sshd, cloud-init, a Docker engine, and the job image in that engine.

It is made on first use in three steps, each kept by the digest of what it is made of: the packages (from a base image, or of
Debian's packages), the inner engine's disk with the job image on it, and the two together with the files of `rootfs/`.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dstack_cloud.backends.sandbox.client import DockerClient, as_tar, tar_file
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import debian, inner_disk, job_image
from dstack_cloud.errors import BackendError, InvalidConfiguration

log = logging.getLogger(__name__)

ROOTFS = Path(__file__).parent / "rootfs"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "docker.io", "iptables", "iproute2", "cloud-init", "sudo"),
    *("python3", "ca-certificates", "netbase", "procps"),
)
DOCKERFILE_PACKAGES = """\
FROM {base}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages} \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
"""
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
    return (
        config.machine_image
        or f"dstack-cloud/machine:{_digest(_packages_name(config), job_image.recipe(), DOCKERFILE, _rootfs())}"
    )


def ensure(client: DockerClient, config: SandboxConfig) -> str:
    """The image's name, once the engine has it. Takes about a minute the first time; one process at a time builds it.

    Raises InvalidConfiguration where it can't be built here, with what to install.
    """
    wanted = name(config)
    if client.image(wanted) is not None:
        return wanted
    if config.machine_image:
        _pull(client, wanted)
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
    if _has(client, config.base_image):
        log.info("building the sandbox machine's packages on %s", config.base_image)
        dockerfile = DOCKERFILE_PACKAGES.format(base=config.base_image, packages=" ".join(PACKAGES))
        build(client, wanted, _context(dockerfile))
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
        job_image.load(client, tar, wanted, ('CMD ["/bin/bash"]',))


def _build(client: DockerClient, config: SandboxConfig, wanted: str) -> None:
    packages = ensure_packages(client, config)
    job = job_image.ensure(client, config)
    log.info("putting the job image %s onto the sandbox machine's disk", job)
    with tempfile.TemporaryDirectory(prefix="dstack-image-") as folder:
        disk = Path(folder) / "disk.tar"
        inner_disk.make(client, packages, job, disk)
        context = Path(folder) / "context.tar"
        with tarfile.open(context, "w") as tar:
            _add_text(tar, "Dockerfile", DOCKERFILE.format(packages=packages))
            tar.add(ROOTFS, "rootfs", filter=_owned_by_root)
            tar.add(disk, "disk.tar")
        disk.unlink()
        for line in client.progress("/build", {"t": wanted, "rm": "1", "forcerm": "1"}, tar_file(context)):
            log.debug("build of %s: %s", wanted, line)
    log.info("the sandbox machine %s is ready", wanted)


def build(client: DockerClient, tag: str, context: bytes) -> None:
    for line in client.progress("/build", {"t": tag, "rm": "1", "forcerm": "1"}, as_tar(context)):
        log.info("build of %s: %s", tag, line)


def _has(client: DockerClient, image: str) -> bool:
    if client.image(image) is not None:
        return True
    try:
        _pull(client, image)
    except BackendError as refused:
        log.info("%s can't be pulled: %s", image, refused.summary)
        return False
    return True


def _pull(client: DockerClient, image: str) -> None:
    for line in client.progress("/images/create", {"fromImage": image}):
        log.debug("pull of %s: %s", image, line)


def _packages_name(config: SandboxConfig) -> str:
    return f"dstack-cloud/machine-packages:{_digest(debian.SUITE, config.base_image, DOCKERFILE_PACKAGES, *PACKAGES)}"


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _rootfs() -> list[list[str]]:
    files = sorted(path for path in ROOTFS.rglob("*") if path.is_file())
    return [[str(path.relative_to(ROOTFS)), path.read_text()] for path in files]


def _context(dockerfile: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        _add_text(tar, "Dockerfile", dockerfile)
    return content.getvalue()


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    tar.addfile(member, io.BytesIO(text.encode()))


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
