from __future__ import annotations

from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.providers.base import Program
from dstack_cloud.errors import ConfigurationError


class Bash:
    """Commands in one bash: in the default image, in an image of the user's, or on the machine itself."""

    name = "bash"

    def program(self, workflow: Workflow) -> Program:
        if not workflow.commands:
            raise ConfigurationError(f"the workflow `{workflow.name}` has no `commands`", "say what to run")
        return Program(workflow.commands, workflow.image, workflow.entrypoint)
