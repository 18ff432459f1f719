"""From a provider's name and options to its program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dstack_cloud.domain.parsing.known import BUILT_IN, Known
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.base import AsWritten, Given, Program
from dstack_cloud.providers.registry import PROVIDERS


class Providers:
    """The built-in ones."""

    known: Known = BUILT_IN

    def program(self, name: str, options: Mapping[str, Any], given: Given) -> Program:
        """Raises ConfigurationError where the options make no sense."""
        try:
            return PROVIDERS[name](**options).program(given)
        except ValueError as error:
            raise ConfigurationError(f"the workflow `{given.workflow}` can't run: {error}", "correct it") from error

    def adds_nothing(self, name: str) -> bool:
        """Whether the program is just what the workflow says."""
        return issubclass(PROVIDERS.get(name, object), AsWritten)
