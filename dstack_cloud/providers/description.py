"""What is known of a provider without making one: plain values, so that it can also come from another process."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field

from dstack_cloud.providers.base import Provider
from dstack_cloud.providers.options import Option, options_of


@dataclass(frozen=True)
class Description:
    """As in `Provider`; `summary` is the docstring's first paragraph, on one line."""

    name: str
    summary: str = ""
    options: Mapping[str, Option] = field(default_factory=dict)
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    port: int | None = None
    synonyms: Mapping[str, str] = field(default_factory=dict)
    example: str = ""

    @property
    def spellings(self) -> dict[str, str]:
        """Each key that belongs to this provider → the option or the common field that it is read as."""
        older = {spelled: name for name, option in self.options.items() for spelled in option.also}
        return {**{name: name for name in self.options}, **older, **self.synonyms}


def describe(provider: type[Provider]) -> Description:
    return Description(
        name=provider.name,
        summary=" ".join(inspect.cleandoc(provider.__doc__ or "").split("\n\n")[0].split()),
        options=options_of(provider),
        takes=tuple(provider.takes),
        needs=tuple(provider.needs),
        port=provider.port,
        synonyms=dict(provider.synonyms),
        example=provider.example,
    )
