"""How machines reach a project's store: with their own identity, or with credentials that are lent to them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from dstack_cloud.backends.base import Finding
from dstack_cloud.errors import BackendError, NotAuthorized, StoreError

log = logging.getLogger(__name__)


class StoreAccess(Protocol):
    """`url` is the store's, `options` what isn't secret of its settings, in obstore's names. Threads share it."""

    @property
    def url(self) -> str: ...

    @property
    def options(self) -> Mapping[str, str]: ...

    @property
    def foreign(self) -> bool:
        """Whether it only speaks like the store of a cloud: the identity of that cloud's machines is worth nothing there."""
        ...

    def credentials(self) -> Mapping[str, object]:
        """The server's own, as an obstore credential provider. Raises BackendError."""
        ...

    def lend(self, prefixes: Sequence[str], seconds: int, reads: Sequence[str] = ()) -> Mapping[str, str] | None:
        """Credentials for the objects below `prefixes`, and to read those below `reads`, that are good for so long (or as
        long as the cloud allows), in obstore's names; None: this store's can't be narrowed, or not by us. Raises StoreError."""
        ...


def lent(url: str, ask: Callable[[], Mapping[str, str] | None]) -> Mapping[str, str] | None:
    """What `StoreAccess.lend` gives, of what a cloud was asked for: who may not lend lends nothing. Raises StoreError."""
    try:
        return ask()
    except NotAuthorized as refused:
        log.warning("no short-lived credentials for %s: %s", url, refused.summary)
        return None
    except BackendError as wrong:
        raise StoreError(f"no short-lived credentials for {url}: {wrong.summary}", wrong.hint) from wrong


def is_in(store: str, scheme: str) -> bool:
    """Whether a store's URL is one of the cloud whose store has this scheme ("s3", "gs", "az")."""
    return urlsplit(store).scheme == scheme


def place_of(store: str) -> tuple[str, str]:
    """(bucket, folder) of SCHEME://bucket/folder; the folder ends with a slash unless it is empty."""
    parts = urlsplit(store)
    folder = parts.path.strip("/")
    return parts.netloc, f"{folder}/" if folder else ""


@runtime_checkable
class CheckedAccess(Protocol):
    """What the access to a store also has whose cloud can be asked who may do what there."""

    def findings(self) -> list[Finding]:
        """A line for each permission that is needed, for `dstack config check`. Asks, and changes nothing."""
        ...
