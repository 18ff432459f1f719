"""Builds what a first launch would otherwise wait for: `python -m dstack_cloud.backends.sandbox.resources`."""

from __future__ import annotations

import logging
import sys

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import job_image, machine_image
from dstack_cloud.errors import BackendError


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    client, config = DockerClient(), SandboxConfig()
    try:
        print(job_image.ensure(client, config))
        print(machine_image.ensure(client, config))
    except BackendError as wrong:
        print(f"error: {wrong.summary}\n{wrong.hint or ''}\n{wrong.cloud_message}".rstrip(), file=sys.stderr)
        return wrong.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
