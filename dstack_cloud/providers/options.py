"""The options that a provider declares, as fields of its class."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["path", "text", "words"]
_REQUIRED: Any = object()


@dataclass(frozen=True)
class Option:
    """`kind`: a `path` inside the working folder, a `text`, or `words` (a list, or one string for a shell's rules to split).
    `also`: older spellings. `must_exist`: without the file nothing can run, so a run is refused where the working folder lacks it.
    """

    kind: Kind
    description: str
    required: bool = True
    also: tuple[str, ...] = ()
    must_exist: bool = False


def path(description: str, *, default: Any = _REQUIRED, also: tuple[str, ...] = (), must_exist: bool = False) -> Any:  # noqa: ANN401 - a field
    """A path inside the working folder, relative to `working_dir`; without a `default` it must be given."""
    return _field("path", description, default, also, must_exist=must_exist)


def text(description: str, *, default: Any = _REQUIRED, also: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
    return _field("text", description, default, also)


def words(description: str, *, default: Any = _REQUIRED, also: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
    """A tuple of texts."""
    return _field("words", description, default, also)


def options_of(provider: type) -> dict[str, Option]:
    """By name, in the order in which the class declares them."""
    fields = dataclasses.fields(provider) if dataclasses.is_dataclass(provider) else ()
    return {field.name: field.metadata["option"] for field in fields if "option" in field.metadata}


def _field(kind: Kind, description: str, default: Any, also: tuple[str, ...], *, must_exist: bool = False) -> Any:  # noqa: ANN401
    required = default is _REQUIRED
    metadata = {"option": Option(kind, description, required, also, must_exist)}
    return dataclasses.field(metadata=metadata) if required else dataclasses.field(default=default, metadata=metadata)
