"""A workflow with the values of one job in its strings. Providers see it only so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from dstack_cloud.domain.interpolation import interpolate, mentions, references, split, whole
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.deferred import settled
from dstack_cloud.domain.parsing.model import Artifact, CachePath, RegistryAuth, Resources
from dstack_cloud.domain.parsing.values import absolute, inside, inside_or_home, option_path
from dstack_cloud.domain.secrets import name_in, places
from dstack_cloud.domain.shell import writer
from dstack_cloud.domain.shell_references import with_references
from dstack_cloud.domain.variables import RUN_ARGS, RUN_NAME, Value, Values, form
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.options import Option

_Saved = TypeVar("_Saved", Artifact, CachePath)
# as `form` spells what is another in each run
_OF_A_RUN = (RUN_NAME, "run_name", "job_id")


def fill(workflow: Workflow, values: Values, options: Mapping[str, Option]) -> Workflow:
    """Every string that may name something: `commands` and `setup` for a shell to read, a lone string of words split as a shell
    does, all others as they are. Paths are checked once more: a value may hold `..`. Secrets in `commands` become references to
    the shell's variables. `options`: as the workflow's provider declares them. Raises ConfigurationError."""
    filled = _Filling(values)
    workflow = settled(workflow, filled.plain)
    return workflow.model_copy(
        update={
            **filled.program(workflow, options),
            "working_dir": filled.path(workflow.working_dir, inside),
            "home_dir": workflow.home_dir and filled.path(workflow.home_dir, absolute),
            "artifacts": tuple(map(filled.saved, workflow.artifacts)),
            "cache": tuple(map(filled.saved, workflow.cache)),
            "resources": filled.resources(workflow.resources),
        }
    )


def fill_program(workflow: Workflow, values: Values, options: Mapping[str, Option]) -> Workflow:
    """As `fill`, but only what becomes of its program. Raises ConfigurationError."""
    filled = _Filling(values)
    return settled(workflow, filled.plain).model_copy(update=filled.program(workflow, options))


def fill_environment(workflow: Workflow, values: Values) -> dict[str, str]:
    """That of the file, as far as it says values, with places for secrets."""
    filled = _Filling(values, places(secrets_of(workflow)))
    return {key: filled.plain(value) for key, value in workflow.env.items() if value is not None}


def fill_login(login: RegistryAuth, workflow: Workflow, values: Values) -> tuple[str, str]:
    """(username, password), with places for secrets."""
    filled = _Filling(values, places(secrets_of(workflow)))
    return filled.plain(login.username), filled.plain(login.password)


class _Filling:
    """Raises ConfigurationError for arguments that no program can be given. `more`: beside the values, by `form`."""

    def __init__(self, values: Values, more: Mapping[str, Value] | None = None) -> None:
        check_args(values.args)
        self._named: Mapping[str, Value] = {**values.named, **more} if more else values.named

    def program(self, workflow: Workflow, options: Mapping[str, Option]) -> dict[str, object]:
        return {
            "image": workflow.image and self.plain(workflow.image),
            "commands": tuple(self.shell(with_references(command)) for command in workflow.commands),
            "setup": tuple(self.shell(with_references(command)) for command in workflow.setup),
            "entrypoint": None if workflow.entrypoint is None else self.words(workflow.entrypoint),
            "options": {name: self.option(given, options[name]) for name, given in workflow.options.items()},
        }

    def plain(self, text: str) -> str:
        return interpolate(text, self._named)

    def shell(self, text: str) -> str:
        return interpolate(text, self._named, writer(text))

    def words(self, given: str | tuple[str, ...]) -> tuple[str, ...]:
        """A string is split as a shell does, and what is put in stays whole; an item that is a list of words becomes its words."""
        try:
            parts = split(given) if isinstance(given, str) else given
        except ValueError as error:
            raise ConfigurationError(f"`{given}` has a quote that is never closed", "close it") from error
        return tuple(word for part in parts for word in self._part(part))

    def _part(self, part: str) -> Sequence[str]:
        value = self._named.get(form(whole(part) or ""))
        return value if isinstance(value, tuple) else [self.plain(part)]

    def path(self, given: str, check: Callable[[str], str]) -> str:
        if "$" not in given:
            return given
        try:
            return check(self.plain(given))
        except ConfigurationError as error:
            raise ConfigurationError(f"the path `{given}` can't be used: {error.summary}", error.hint) from error

    def saved(self, given: _Saved) -> _Saved:
        path = self.path(given.path, inside_or_home)
        return given if path == given.path else given.model_copy(update={"path": path})

    def resources(self, given: Resources) -> Resources:
        fields = ("regions", "backends", "instance_types")
        update: dict[str, object] = {
            field: tuple(map(self.plain, named)) for field in fields if (named := getattr(given, field))
        }
        gpu = given.gpu
        if gpu is not None and gpu.name is not None and (name := self.plain(gpu.name)) != gpu.name:
            update["gpu"] = gpu.model_copy(update={"name": name})
        return given.model_copy(update=update) if update else given

    def option(self, given: str | tuple[str, ...], option: Option) -> str | tuple[str, ...]:
        if option.kind == "words" or not isinstance(given, str):
            return self.words(given)
        return self.path(given, partial(option_path, option=option)) if option.kind == "path" else self.plain(given)


def uses_args(workflow: Workflow) -> bool:
    """Does any string of the workflow hold `${{ run.args }}`?"""
    return any(mentions(text, RUN_ARGS) for text in _strings(workflow.model_dump()))


def tells_runs_apart(workflow: Workflow, values: Values) -> bool:
    """Whether its program may differ from one run to the next: a string, or the name of a variable, has the run's name or the job's id
    in it."""
    texts = [*workflow.commands, *workflow.setup, workflow.image, workflow.entrypoint, *workflow.options.values()]
    return any(form(name) in _OF_A_RUN for name in values.variables) or any(
        word in form(text) for text in _strings(texts) for word in _OF_A_RUN
    )


def secrets_of(workflow: Workflow) -> tuple[str, ...]:
    """The names in its `${{ secrets.NAME }}`, sorted."""
    login = workflow.registry_auth
    # the fields where one may stand: `secrets.FIELDS`
    texts = [
        *workflow.commands,
        *workflow.setup,
        *workflow.env.values(),
        *((login.username, login.password) if login else ()),
    ]
    names = {name_in(each) for text in texts if text and "secrets." in text for each in references(text)}
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
