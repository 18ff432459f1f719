from __future__ import annotations

from dstack_cloud.providers.base import IMAGE_FIELDS, PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path, words
from dstack_cloud.providers.shell import PYTHON, installed, line, python_first


class Python(Provider):
    """A Python script, with what it requires installed first."""

    name = "python"
    example = "file: train.py\nargs: --epochs 5 ${{ run.args }}\nrequirements: requirements.txt"
    takes = ("nodes", *IMAGE_FIELDS)
    synonyms = PYTHON_SYNONYMS

    file: str = path("The script to run, relative to `working_dir`.", also=("script",), must_exist=True)
    args: tuple[str, ...] = words("Its arguments: a list, or one string that is split as a shell does.", default=())
    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        commands = (*python_first(), line(PYTHON, rest=(self.file, *self.args)))
        packages = installed(self.requirements)
        return Program(commands, given.image, installs=bool(packages), setup=packages)
