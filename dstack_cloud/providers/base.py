"""What a provider is: it says which program its options come down to."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from typing_extensions import dataclass_transform

from dstack_cloud.providers import options

IMAGE_FIELDS = ("image", "registry_auth")
# the fields that a provider may have no use for
RUNNING_FIELDS = ("commands", "entrypoint", "nodes", *IMAGE_FIELDS)
# of the providers that run Python; read as the field of every workflow
PYTHON_SYNONYMS = {"version": "python"}


@dataclass(frozen=True)
class Given:
    """What the fields that every workflow may have say, filled in. `port` is the one that the program shall listen on (0 where
    the provider has none and the workflow names none), `nodes` how many machines run the program together. `reload`: its files
    will change while it runs (`dstack run --reload`), and it should look out for that where it can."""

    workflow: str
    commands: tuple[str, ...] = ()
    image: str | None = None
    entrypoint: tuple[str, ...] | None = None
    python: str | None = None
    port: int = 0
    nodes: int = 1
    reload: bool = False


@dataclass(frozen=True)
class Program:
    """What runs. `commands` are lines of one bash, each run after the one before succeeded.

    `installs`: they install Python packages, so that a job without a container gets an environment of its own for them.
    `setup`: such lines, run before them and once for all jobs for which they do the same (see the field `setup` of workflows).
    `page`: what of the address stands behind the port of a program that a browser opens. `token`: the environment variable in
    which the program is given a random token, which the address ends in; `token_in`: what the address calls it.
    """

    commands: tuple[str, ...] = ()
    image: str | None = None
    entrypoint: tuple[str, ...] | None = None
    installs: bool = False
    setup: tuple[str, ...] = ()
    page: str = ""
    token: str = ""
    token_in: str = "token"  # noqa: S105 - no token, but its name


@dataclass_transform(kw_only_default=True, field_specifiers=(options.path, options.text, options.words))
class Provider(ABC):
    """Its fields are its options, declared by `path`, `text` and `words`; an instance holds those of one workflow, filled in.

    `name` is what workflows call it. `takes`: which of `commands`, `entrypoint`, `nodes`, `image`, `registry_auth` have a
    meaning with it; `needs`: those that must be there. `port`: what its program listens on where the workflow names none. `synonyms`: its
    own spellings of fields that every workflow may have. `example`: fields of a workflow, for the documentation.
    """

    name: ClassVar[str] = ""
    takes: ClassVar[tuple[str, ...]] = IMAGE_FIELDS
    needs: ClassVar[tuple[str, ...]] = ()
    port: ClassVar[int | None] = None
    synonyms: ClassVar[Mapping[str, str]] = {}
    example: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(kw_only=True)(cls)

    @abstractmethod
    def program(self, given: Given) -> Program:
        """Raises ValueError, with a text for the user, where the options make no sense."""


class AsWritten(Provider):
    """One whose program is what the workflow says, and nothing more."""

    takes = RUNNING_FIELDS

    def program(self, given: Given) -> Program:
        return Program(given.commands, given.image, given.entrypoint)
