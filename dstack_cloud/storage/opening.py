"""From a store's URL and options to a connection: what holds for every cloud, and how long a store may be away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError

from dstack_cloud import errors
from dstack_cloud.storage.failures import Login, Target, first_line

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Connection
    from obstore.store import RetryConfig

Credentials: TypeAlias = Callable[[], Mapping[str, Any]]

# those of obstore's settings that are the HTTP client's: given to a store directly, they make it panic
_CLIENT_OPTIONS = frozenset(
    ["allow_http", "allow_invalid_certificates", "connect_timeout", "proxy_ca_certificate", "proxy_excludes", "proxy_url",
     "read_timeout", "root_certificate", "timeout", "user_agent"]
)  # fmt: skip
_CLIENT_DEFAULTS: Any = {
    # obstore's own is 30 seconds for a whole request, which a part on a slow line, or a large object read, exceeds
    "timeout": "24 hours",
    # until an answer begins, and between its pieces: 64 MiB on their way at once then need 4.5 Mbit/s
    "read_timeout": "120 seconds",
    "connect_timeout": "10 seconds",
}
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(milliseconds=100), timedelta(seconds=5)


def connect(
    url: str, options: Mapping[str, str], credentials: Credentials | None, patience: float
) -> tuple[Connection, Target]:
    """The target's URL is "" for a store on this computer. Raises ConfigurationError."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return _folder(url, Path(unquote(parts.path))), Target()
    if parts.scheme == "memory":
        return obstore.store.MemoryStore(), Target()
    if parts.scheme not in ("s3", "gs", "az"):
        raise errors.ConfigurationError(
            f"{url!r} is no place for objects", "write file:///folder, s3://bucket, gs://bucket or az://container"
        )
    client: Any = {name: value for name, value in options.items() if name in _CLIENT_OPTIONS}
    settings: dict[str, Any] = {name: value for name, value in options.items() if name not in client}
    if parts.scheme == "s3":
        settings = {**_s3_defaults(parts.netloc, settings), **settings}
    login = None if credentials is None else Login(credentials)
    if login is not None:
        settings["credential_provider"] = login
    retries: RetryConfig = {
        # time is what counts
        "max_retries": 1_000,
        "retry_timeout": timedelta(seconds=patience),
        "backoff": {"init_backoff": _FIRST_PAUSE, "max_backoff": _LONGEST_PAUSE, "base": 2},
    }
    try:
        connection = obstore.store.from_url(
            url, client_options=_CLIENT_DEFAULTS | client, retry_config=retries, **settings
        )
    except (BaseError, ValueError) as error:
        raise errors.ConfigurationError(
            f"the store {url} can't be used: {first_line(error)}", "look at the URL and the store's options"
        ) from error
    # what S3 calls its endpoint is Cloud Storage's base URL
    place = settings.get("endpoint") or settings.get("base_url") or ""
    return connection, Target(url, str(place), str(settings.get("region", "")), login)


def _s3_defaults(bucket: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 costs nothing more: the signature needs it anyway. A certificate of Amazon's holds for one label only, so a
    bucket with a dot in its name is named in the path, as it is with an endpoint of another's."""
    at_amazon = "endpoint" not in settings and "." not in bucket
    return {"checksum_algorithm": "SHA256", "virtual_hosted_style_request": str(at_amazon).lower()}


def _folder(url: str, folder: Path) -> Connection:
    if not folder.is_absolute() or urlsplit(url).netloc:
        raise errors.ConfigurationError(f"{url!r} names no folder of this computer", "write file:///folder")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(
            f"the store's folder {folder} can't be made: {error.strerror}", "look at its permissions"
        ) from error
    return obstore.store.LocalStore(folder, automatic_cleanup=True)
