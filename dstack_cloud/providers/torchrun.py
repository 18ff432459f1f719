from __future__ import annotations

import re

from dstack_cloud.providers.base import IMAGE_FIELDS, PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path, text, words
from dstack_cloud.providers.shell import PYTHON, installed, line, python_first

# what torchrun counts itself: https://docs.pytorch.org/docs/stable/elastic/run.html
_COUNTED = ("gpu", "cpu", "auto")
_GPUS = '"$((DSTACK_GPUS_PER_NODE > 0 ? DSTACK_GPUS_PER_NODE : 1))"'


class Torchrun(Provider):
    """A PyTorch script, as several processes of one machine or of several (`nodes`)."""

    name = "torchrun"
    example = "file: train.py\nargs: --epochs 5\nrequirements: requirements.txt\nnodes: 2\nresources: {gpu: 2}"
    takes = ("nodes", *IMAGE_FIELDS)
    synonyms = PYTHON_SYNONYMS

    file: str = path("The script to run, relative to `working_dir`.", also=("script",), must_exist=True)
    args: tuple[str, ...] = words("Its arguments: a list, or one string that is split as a shell does.", default=())
    requirements: str | None = path(
        "A requirements file, installed first; PyTorch is installed where nothing brings it.",
        default=None,
        must_exist=True,
    )
    nproc_per_node: str | None = text(
        "How many processes run on each machine: a number, or `gpu`, `cpu`, `auto`, which torchrun counts itself;"
        " none: one for each GPU that the job has there, at least one.",
        default=None,
        also=("nproc-per-node",),
    )

    def program(self, given: Given) -> Program:
        run = line(f"{PYTHON} -m torch.distributed.run", *self._group(given.nodes), rest=(self.file, *self.args))
        packages = installed(self.requirements, ["torch"])
        return Program((*python_first(), run), given.image, installs=True, setup=packages)

    def _group(self, nodes: int) -> tuple[str, ...]:
        """A single machine's processes find each other at a port that is free: others of the same computer may run, too.

        Options have `_`, which every version takes; PyTorch before 2.0 knows none with `-`."""
        processes = f"--nproc_per_node={self._processes()}"
        if nodes == 1:
            return "--standalone", processes
        place = '--master_addr="$MASTER_ADDR" --master_port="$MASTER_PORT"'
        return '--nnodes="$DSTACK_NODES_NUM" --node_rank="$DSTACK_NODE_RANK"', processes, place

    def _processes(self) -> str:
        wanted = self.nproc_per_node
        if wanted is None:
            return _GPUS
        if wanted not in _COUNTED and not re.fullmatch("[1-9][0-9]{0,3}", wanted):
            raise ValueError(
                f"`nproc_per_node` must be a number from 1 up, or one of {', '.join(_COUNTED)}; it is `{wanted}`"
            )
        return wanted
