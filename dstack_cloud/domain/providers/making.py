"""From a provider's name and options to its program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dstack_cloud.domain.interpolation import RUN_ARGS, interpolate, references
from dstack_cloud.domain.parsing.known import BUILT_IN, Known
from dstack_cloud.errors import ConfigurationError, NotAvailableYet
from dstack_cloud.providers.base import Given, Program
from dstack_cloud.providers.options import Option
from dstack_cloud.providers.registry import PROVIDERS

Values = Mapping[str, str]
Path = Callable[[str], str]

_ONE = re.compile(r"\s*\$\{\{[^{}\n]*\}\}\s*")


class Providers:
    """The built-in ones."""

    known: Known = BUILT_IN

    def program(self, name: str, options: Mapping[str, Any], given: Given) -> Program:
        """Raises ConfigurationError where the options make no sense."""
        try:
            return PROVIDERS[name](**options).program(given)
        except ValueError as error:
            raise ConfigurationError(f"the workflow `{given.workflow}` can't run: {error}", "correct it") from error


def refuse_unavailable(known: Known, name: str) -> None:
    """Raises NotAvailableYet."""
    if known.of(name).available:
        return
    available = ", ".join(each for each in known.names if known.of(each).available)
    raise NotAvailableYet(f"the provider `{name}` is not available yet", f"available: {available}")


def filled(options: Mapping[str, Any], declared: Mapping[str, Option], fill: Fill) -> dict[str, Any]:
    """A workflow's options with the run's values in them. Raises ConfigurationError."""
    return {name: fill.option(value, declared[name]) for name, value in options.items()}


class Fill:
    """`shell` and `plain`: the values as a shell reads them, and as they are. `path` fills in a path and checks it."""

    def __init__(self, shell: Values, plain: Values, path: Path) -> None:
        self._shell = shell
        self._plain = plain
        self._path = path

    def option(self, value: str | Sequence[str], option: Option) -> str | tuple[str, ...]:
        if option.kind == "words":
            return self.split(value) if isinstance(value, str) else tuple(self._listed(value))
        return self._path(str(value)) if option.kind == "path" else interpolate(str(value), self._plain)

    def split(self, given: str, what: str = "text") -> tuple[str, ...]:
        """By a shell's rules, with the values in it."""
        try:
            return tuple(shlex.split(interpolate(given, self._shell)))
        except ValueError as error:
            raise ConfigurationError(f"the {what} `{given}` has a quote that is never closed", "close it") from error

    def _listed(self, given: Sequence[str]) -> Iterator[str]:
        """An item stays one word, but one that is all arguments, and nothing else."""
        for item in given:
            if _ONE.fullmatch(item) and references(item) == [RUN_ARGS]:
                yield from self.split(item)
            else:
                yield interpolate(item, self._plain)
