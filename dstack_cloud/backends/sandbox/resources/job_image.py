"""The image that a job without `image` runs in: Python, pip, bash, git, curl; one layer.

It is built on the base image where that can be had, else of Debian's packages: they are only unpacked, which takes a third of the time of configuring them; what their install scripts would have
done and a job needs is in the hooks.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from pathlib import Path

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import building, debian

log = logging.getLogger(__name__)

RECIPE_LABEL = "dstack.recipe"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

PACKAGES = (
    *(
        "bash",
        "coreutils",
        "findutils",
        "grep",
        "sed",
        "mawk",
        "tar",
        "gzip",
        "xz-utils",
        "debianutils",
        "hostname",
        "libc-bin",
    ),
    *(
        "procps",
        "netbase",
        "ca-certificates",
        "curl",
        "git",
        "python3",
        "python3-pip",
        "python3-venv",
        "libstdc++6",
        "libgomp1",
    ),
)
FINISH = "RUN ln -sf python3 /usr/bin/python && rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED && mkdir -p /workflow\n"
SYSTEM = debian.FileSystem(
    packages=("base-files", "base-passwd", "dash", *PACKAGES),
    variant="extract",
    hooks=(
        'cp "$1"/usr/share/base-passwd/passwd.master "$1"/etc/passwd; cp "$1"/usr/share/base-passwd/group.master "$1"/etc/group',
        'mkdir -p "$1"/root "$1"/workflow; chmod 700 "$1"/root; chmod 1777 "$1"/tmp',
        f'mkdir -p "$1"/etc/ssl/certs; cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1"{CERTIFICATES}',
        'ln -sf python3 "$1"/usr/bin/python; ln -sf mawk "$1"/usr/bin/awk; rm -f "$1"/usr/lib/python3.*/EXTERNALLY-MANAGED',
        'rm -rf "$1"/usr/share/perl "$1"/usr/lib/*/perl "$1"/usr/share/perl5 "$1"/var/lib/apt "$1"/var/cache/apt/*.bin',
        'cp "$1"/usr/share/base-files/nsswitch.conf "$1"/etc/nsswitch.conf 2>/dev/null || true',
    ),
)
# Debian's OpenSSL looks for hashed links that an install script would have made; Docker gives HOME only with a shell
CHANGES = (
    'CMD ["/bin/bash"]',
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    f"ENV SSL_CERT_FILE={CERTIFICATES}",
    "ENV LANG=C.UTF-8",
    "ENV PIP_ROOT_USER_ACTION=ignore",
)


def recipe() -> str:
    """A digest of everything that makes the image what it is."""
    content = [debian.SUITE, SYSTEM.packages, SYSTEM.hooks, FINISH, CHANGES]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def ensure(client: DockerClient, config: SandboxConfig) -> str:
    """The image's name, once the engine has it by this recipe. An image of that name which is not ours is left as it is."""
    wanted = config.job_image_for()
    found = client.image(wanted)
    if found is not None:
        labels = found["Config"].get("Labels") or {}
        if labels.get(RECIPE_LABEL, recipe()) == recipe():
            return wanted
    changes = (*CHANGES, f"LABEL {RECIPE_LABEL}={recipe()}")
    if building.obtain(client, config.base_image):
        log.info("building the job image %s on %s", wanted, config.base_image)
        layered = f"{wanted}-layers"
        text = building.APT_INSTALL.format(base=config.base_image, packages=" ".join(PACKAGES)) + FINISH
        building.build(client, layered, building.dockerfile(text))
        building.flatten(client, layered, wanted, changes)
        return wanted
    log.info("making the job image %s of Debian's packages", wanted)
    with tempfile.TemporaryDirectory(prefix="dstack-image-") as folder:
        tar = Path(folder) / "job.tar"
        debian.make(SYSTEM, tar, mirror=config.debian_mirror, cache=config.cache)
        building.load(client, tar, wanted, changes)
    return wanted


def layers(client: DockerClient, image: str) -> int:
    """Of how many layers an image is; 0 where there is none of that name."""
    found = client.image(image)
    return len(found["RootFS"]["Layers"]) if found else 0
