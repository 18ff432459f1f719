"""What a runner of a machine of its own does with a setup that comes from the store: `python -m tests.unit.runner.take_setup IMAGE ATTEMPT`.

The packed setup is the standard input. Prints what the job's container was made of, and what that has; nothing stays.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.docker_executor import DockerExecutor
from dstack_cloud.runner_bootstrap.payload.docker_setup import ImageKeep
from dstack_cloud.runner_bootstrap.payload.engine import Engine
from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import parse_job
from dstack_cloud.runner_bootstrap.payload.machine import Machine
from dstack_cloud.runner_bootstrap.payload.mounted_layer import is_seen
from dstack_cloud.runner_bootstrap.payload.spool import Spool


def main(image: str, attempt: str) -> None:
    job = parse_job({"attempt": attempt, "mode": "docker", "image": image, "commands": ["true"], "setup": ["true"]})
    with tempfile.TemporaryDirectory() as made:
        folder, machine = Folder(Path(made)), Machine(own=True)
        folder.make()
        spool = Spool(folder.log, folder.log_times)
        executor = DockerExecutor(folder, job, spool, machine)
        keep = ImageKeep(executor, folder, job, spool, machine)
        try:
            keep.take(attempt, sys.stdin.buffer)
            executor.create()
            # the next runner finds what is to be undone by itself
            print(executor.image, keep.use(attempt), is_seen(Engine(), executor.container, "opt/file", 5))
        except Failure as failure:
            print(f"{executor.image} {failure.message}")
        finally:
            executor.clean()
            ImageKeep(executor, folder, job, spool, machine).release()


if __name__ == "__main__":
    main(*sys.argv[1:])
