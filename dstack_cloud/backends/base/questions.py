"""What `dstack config` finds on this computer for a cloud, what it asks, and what the cloud must permit. Optional for a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from dstack_cloud.backends.base.settings import CloudConfig
from dstack_cloud.domain.descriptions import first_sentence


@dataclass(frozen=True)
class Surroundings:
    """`home` is the user's folder, in which the clouds' own tools keep what they know. `environment`: of their shell, the
    variables that a questionnaire names; the server itself doesn't see that shell. `settings` are those that there are."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Login:
    """A credential on this computer. `settings` name it to the backend, nothing of it is copied; `place` is its file.
    `suggests` are settings that lie near: the region of a profile. The one that the cloud's tool would use is `preferred`."""

    name: str
    place: str
    settings: Mapping[str, str] = field(default_factory=dict)
    suggests: Mapping[str, Any] = field(default_factory=dict)
    preferred: bool = False


@dataclass(frozen=True)
class Setting:
    """`key` as config.yaml has it. `question` is what a person is asked, "": only an option sets it. `default` holds where nothing on this computer suggests another; a `required` one that has none must be said.
    `of_store`: asked only where the home store is in this cloud. `option` is the name on the command line where `key` won't do."""

    key: str
    question: str = ""
    many: bool = False
    required: bool = False
    default: str = ""
    of_store: bool = False
    option: str = ""


@dataclass(frozen=True)
class Questionnaire:
    """`title` is the cloud's name, `scheme` that of its object store, `model` reads its settings. `find` reads files and asks nobody. `nothing` says what to do
    where there is no credential. `reads` are variables whose values `find` wants; `unused` such that hold credentials
    which the server will not have. `known` lists the values that a setting may have, () where that can't be told offline."""

    title: str
    scheme: str
    model: type[CloudConfig]
    settings: tuple[Setting, ...]
    find: Callable[[Surroundings], list[Login]]
    nothing: str
    reads: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    known: Callable[[str], Sequence[str]] = lambda key: ()

    def said_of(self, key: str) -> str:
        """What stands above it in the file, and behind its option: the beginning of what the model says of it."""
        return first_sentence(self.model.model_fields[key].description or "")


@runtime_checkable
class Configurable(Protocol):
    """What a backend also has that `dstack config` can set up."""

    @property
    def questionnaire(self) -> Questionnaire: ...


@dataclass(frozen=True)
class Permissions:
    """`document` is the least policy or role, in the cloud's own format; `apply` says how it is given to whom."""

    document: str
    apply: str


@runtime_checkable
class Permitted(Protocol):
    """What a backend also has whose cloud asks who may do what."""

    def permissions(self, store: str) -> Permissions:
        """The least with which everything works, for these settings and the home store's URL. Asks nobody."""
        ...


@runtime_checkable
class Preparable(Protocol):
    """What a backend also has whose machines need something that is made once, and takes a while to have an effect."""

    def prepare(self, store: str) -> str:
        """Makes it where it isn't there, and says what there is. Called when the configuration was written. Raises BackendError."""
        ...
