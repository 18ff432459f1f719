from __future__ import annotations

from dstack_cloud.providers.base import RUNNING_FIELDS, Given, Program, Provider


class Docker(Provider):
    """An image of yours; without commands it runs what it is made to run."""

    name = "docker"
    example = "image: redis:7\nports: 6379"
    takes = RUNNING_FIELDS
    needs = ("image",)

    def program(self, given: Given) -> Program:
        return Program(given.commands, given.image, given.entrypoint)
