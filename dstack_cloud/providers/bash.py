from __future__ import annotations

from dstack_cloud.providers.base import RUNNING_FIELDS, Given, Program, Provider


class Bash(Provider):
    """Commands in one bash: in the default image, in an image of yours, or on the machine itself."""

    name = "bash"
    example = "commands:\n  - make\n  - ./train ${{ run.args }}"
    takes = RUNNING_FIELDS
    needs = ("commands",)

    def program(self, given: Given) -> Program:
        return Program(given.commands, given.image, given.entrypoint)
