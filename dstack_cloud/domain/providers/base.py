"""What a provider is: it says which program a workflow's fields come down to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dstack_cloud.domain.parsing import Workflow


@dataclass(frozen=True)
class Program:
    """Before `${{ }}` is filled in. A string as `entrypoint` is split as a shell does, afterwards."""

    commands: tuple[str, ...] = ()
    image: str | None = None
    entrypoint: str | tuple[str, ...] | None = None


class Provider(Protocol):
    """`name` is what workflows call it."""

    name: str

    def program(self, workflow: Workflow) -> Program:
        """Raises ConfigurationError where the workflow lacks what the provider needs."""
        ...
