"""A workflow with the values of one job in its strings. Providers see it only so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from dstack_cloud.domain.interpolation import interpolate, mentions, references, split, whole
from dstack_cloud.domain.parsing import Workflow
from dstack_cloud.domain.parsing.model import Resources
from dstack_cloud.domain.parsing.values import absolute, inside, inside_or_home
from dstack_cloud.domain.secrets import name_in, places
from dstack_cloud.domain.shell import writer
from dstack_cloud.domain.shell_references import with_references
from dstack_cloud.domain.variables import RUN_ARGS, Value, Values, form
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.options import Option


def fill(workflow: Workflow, values: Values, options: Mapping[str, Option]) -> Workflow:
    """Every string that may name something: `commands` and `setup` for a shell to read, a lone string of words split as a shell
    does, all others as they are. Paths are checked once more: a value may hold `..`. Secrets in `commands` become references to
    the shell's variables. `options`: as the workflow's provider declares them. Raises ConfigurationError."""
    check_args(values.args)
    filled = _Filling(values.named)
    return workflow.model_copy(
        update={
            "image": workflow.image and filled.plain(workflow.image),
            "commands": tuple(filled.shell(with_references(command)) for command in workflow.commands),
            "setup": tuple(filled.shell(with_references(command)) for command in workflow.setup),
            "entrypoint": None if workflow.entrypoint is None else filled.words(workflow.entrypoint),
            "working_dir": filled.path(workflow.working_dir, inside),
            "home_dir": workflow.home_dir and filled.path(workflow.home_dir, absolute),
            "artifacts": tuple(
                saved.model_copy(update={"path": filled.path(saved.path, inside_or_home)})
                for saved in workflow.artifacts
            ),
            "cache": tuple(
                saved.model_copy(update={"path": filled.path(saved.path, inside_or_home)}) for saved in workflow.cache
            ),
            "resources": filled.resources(workflow.resources),
            "options": {name: filled.option(given, options[name]) for name, given in workflow.options.items()},
        }
    )


def fill_secret(workflow: Workflow, values: Values) -> Workflow:
    """Those strings that must not be kept in plain."""
    filled = _Filling({**values.named, **places(secrets_of(workflow))})
    env = {key: value if value is None else filled.plain(value) for key, value in workflow.env.items()}
    login = workflow.registry_auth
    if login is not None:
        update = {"username": filled.plain(login.username), "password": filled.plain(login.password)}
        login = login.model_copy(update=update)
    return workflow.model_copy(update={"env": env, "registry_auth": login})


class _Filling:
    """`named`: values by `form`."""

    def __init__(self, named: Mapping[str, Value]) -> None:
        self._named = named

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
        try:
            return check(self.plain(given))
        except ConfigurationError as error:
            raise ConfigurationError(f"the path `{given}` can't be used: {error.summary}", error.hint) from error

    def resources(self, given: Resources) -> Resources:
        names = {
            field: tuple(map(self.plain, getattr(given, field))) for field in ("regions", "backends", "instance_types")
        }
        gpu = given.gpu
        if gpu is not None and gpu.name is not None:
            gpu = gpu.model_copy(update={"name": self.plain(gpu.name)})
        return given.model_copy(update={**names, "gpu": gpu})

    def option(self, given: str | tuple[str, ...], option: Option) -> str | tuple[str, ...]:
        if option.kind == "words" or not isinstance(given, str):
            return self.words(given)
        return self.path(given, inside) if option.kind == "path" else self.plain(given)


def uses_args(workflow: Workflow) -> bool:
    """Does any string of the workflow hold `${{ run.args }}`?"""
    return any(mentions(text, RUN_ARGS) for text in _strings(workflow.model_dump()))


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
