from __future__ import annotations

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Unavailable
from dstack_cloud.providers.options import path, words


class Torchrun(Unavailable):
    """A PyTorch script on one machine or several."""

    name = "torchrun"
    example = "file: train.py"
    synonyms = PYTHON_SYNONYMS

    file: str = path("The script to run, relative to `working_dir`.", also=("script",), must_exist=True)
    args: tuple[str, ...] = words("Its arguments: a list, or one string that is split as a shell does.", default=())
    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)
