from __future__ import annotations

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path, words
from dstack_cloud.providers.shell import LISTEN, PYTHON, installed, line, python_first


class TensorBoard(Provider):
    """TensorBoard in the browser."""

    name = "tensorboard"
    example = "logdir: logs"
    port = 6006
    synonyms = PYTHON_SYNONYMS

    logdir: str = path("The folder with the event files, relative to `working_dir`.")
    args: tuple[str, ...] = words("More options for TensorBoard: a list, or one string.", default=())
    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        options = f"--host {LISTEN} --port {given.port} --logdir"
        serve = line(f"exec {PYTHON} -m tensorboard.main", options, rest=(self.logdir, *self.args))
        packages = installed(self.requirements, ["tensorboard"])
        return Program((*python_first(given.port), serve), given.image, installs=True, setup=packages)
