"""`${{ run.* }}` in the strings of a workflow."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from dstack_cloud.domain.interpolation import RUN_ARGS, RUN_NAME, references
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.secrets import name_in
from dstack_cloud.errors import ConfigurationError


def shell_values(run_name: str, args: Sequence[str]) -> dict[str, str]:
    """For strings that a shell reads: each argument stays one word there, whatever is in it."""
    return {RUN_NAME: run_name, RUN_ARGS: shlex.join(args)}


def plain_values(run_name: str, args: Sequence[str]) -> dict[str, str]:
    """For strings that are taken as they are: arguments with a space between them."""
    return {RUN_NAME: run_name, RUN_ARGS: " ".join(args)}


def uses_args(workflow: Workflow) -> bool:
    """Does any string of the workflow hold `${{ run.args }}`?"""
    return any(RUN_ARGS in references(text) for text in _strings(workflow.model_dump()))


def secrets_of(workflow: Workflow) -> tuple[str, ...]:
    """The names in its `${{ secrets.NAME }}`, sorted."""
    names = {name_in(each) for text in _strings(workflow.model_dump()) for each in references(text)}
    return tuple(sorted(name for name in names if name is not None))


def check_args(args: Sequence[str]) -> None:
    if any("\0" in each for each in args):
        raise ConfigurationError("an argument holds a NUL character", "no program can be given one")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)
