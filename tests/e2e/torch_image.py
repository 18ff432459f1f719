"""The default job image with PyTorch in it: `python -m tests.e2e.torch_image` makes it, two minutes where the packages are kept.

Debian's PyTorch is built for processors alone; PyPI's brings gigabytes for GPUs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from pathlib import Path

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import building, debian, job_image

LAUNCHER = '"$1"/usr/lib/python3/dist-packages/torch/distributed/elastic/multiprocessing/api.py'
HOOKS = (
    # an install script would have chosen these
    'cd "$1"/usr/lib/*-linux-gnu && ln -sf blas/libblas.so.3 lapack/liblapack.so.3 .',
    # this version's launcher looks for a member of an enumeration that Python 3.11 no longer lists
    f"sed -i 's/for s in Std:/for s in Std.__members__.values():/' {LAUNCHER}",
    # large, and read by nothing here: it is copied to every machine
    'cd "$1"/usr/lib/*-linux-gnu && rm -rf dri libLLVM-* libz3.so.*',
    'cd "$1"/usr && rm -rf lib/libtorch-test share/proj share/gdal share/fonts share/icons include',
)
SYSTEM = dataclasses.replace(
    job_image.SYSTEM,
    packages=(*job_image.SYSTEM.packages, "python3-torch"),
    hooks=(*job_image.SYSTEM.hooks, *HOOKS),
)


def name() -> str:
    return f"dstack-cloud-test/torch:{hashlib.sha256(repr((SYSTEM, job_image.CHANGES)).encode()).hexdigest()[:12]}"


def ensure() -> str:
    """Its name; built where the engine lacks it."""
    client, config, image = DockerClient(), SandboxConfig(), name()
    if client.image(image) is None:
        with tempfile.TemporaryDirectory(prefix="dstack-test-image-") as folder:
            tar = Path(folder) / "torch.tar"
            debian.make(SYSTEM, tar, mirror=config.debian_mirror, cache=config.cache)
            building.load(client, tar, image, job_image.CHANGES)
    return image


if __name__ == "__main__":
    print(ensure())
