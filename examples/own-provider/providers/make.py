from __future__ import annotations

import shlex

from dstack_cloud.providers import Given, Program, Provider, path, text, words


class Make(Provider):
    """Builds targets of a Makefile."""

    targets: tuple[str, ...] = words("What to build.")
    makefile: str = path("The Makefile.", default="Makefile")
    jobs: str = text("How many commands at once.", default="2")

    def program(self, given: Given) -> Program:
        if not self.jobs.isdigit():
            raise ValueError(f"`jobs` must be a number, and is {self.jobs}")
        line = ["make", f"-j{self.jobs}", "-f", self.makefile, *self.targets]
        return Program(commands=(shlex.join(line),), image=given.image)
