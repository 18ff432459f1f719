from __future__ import annotations

from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.providers.base import Program
from dstack_cloud.errors import ConfigurationError


class Docker:
    """An image of the user's; without commands it runs what it is made to run."""

    name = "docker"

    def program(self, workflow: Workflow) -> Program:
        if workflow.image is None:
            raise ConfigurationError(f"the workflow `{workflow.name}` has no `image`", "provider docker needs one")
        return Program(workflow.commands, workflow.image, workflow.entrypoint)
