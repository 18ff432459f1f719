"""Toyland's refusals in the terms of every backend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dstack_cloud.backends.base.refusals import Entry, entries, first_line
from dstack_cloud.errors import BackendError, InvalidConfiguration, NoCapacity, NotAuthorized

KNOWN: dict[str, Entry] = {
    **entries(NoCapacity, "Toyland doesn't have this size", "", "NoSuchSize"),
    **entries(NotAuthorized, "Toyland doesn't accept the key", "set `key`", "BadKey"),
}
NOT_FOUND = ("NotFound",)


@contextmanager
def translated(where: str) -> Iterator[None]:
    from tests.fakes.toyland import Refused

    try:
        yield
    except Refused as error:
        raise refusal(error.code, error.message, where) from error


def refusal(code: str, message: str, where: str) -> BackendError:
    unknown = InvalidConfiguration, f"Toyland refused: {first_line(message)}", ""
    kind, what, hint = KNOWN.get(code, unknown)
    return kind(f"{what} ({code}, {where})", hint or None, cloud_code=code, cloud_message=message)
