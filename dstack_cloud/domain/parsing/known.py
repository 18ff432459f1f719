"""The providers by name, and the fields that belong to some of them only: all of it as the providers declare it."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_cloud.providers.description import Description, describe
from dstack_cloud.providers.options import Option
from dstack_cloud.providers.registry import PROVIDERS as CLASSES

DESCRIBED: Mapping[str, Description] = {name: describe(provider) for name, provider in CLASSES.items()}
PROVIDERS = tuple(DESCRIBED)

# in every workflow; the right-hand spelling is the one that Workflow has
SYNONYMS = {"depends-on": "deps", "environment": "env"}


class Known:
    """The built-in providers, and `custom` ones of the user's by what workflows call them; for one that couldn't be loaded, why
    not."""

    def __init__(self, custom: Mapping[str, Description | str] | None = None) -> None:
        given = custom or {}
        self.failures = {name: why for name, why in given.items() if isinstance(why, str)}
        self._described = {**DESCRIBED, **{name: each for name, each in given.items() if isinstance(each, Description)}}
        self._any = _any_of(self._described)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._described)

    def describes(self, provider: str) -> bool:
        return provider in self._described

    def of(self, provider: str) -> Description:
        """For an unknown one: a provider that has the options of all."""
        return self._described.get(provider, self._any)

    def owners(self, key: str) -> list[str]:
        """The providers that have a field spelled so."""
        return [name for name, described in self._described.items() if key in described.spellings]

    def becomes(self, key: str) -> str:
        """What some provider's field is read as."""
        return self._any.spellings[key]

    @property
    def keys(self) -> list[str]:
        return list(self._any.spellings)

    def option(self, name: str) -> Option | None:
        return self._any.options.get(name)


def _any_of(described: Mapping[str, Description]) -> Description:
    options: dict[str, Option] = {}
    synonyms: dict[str, str] = {}
    for each in described.values():
        options = {**each.options, **options}
        synonyms = {**each.synonyms, **synonyms}
    return Description("", options=options, synonyms=synonyms)


BUILT_IN = Known()
