"""A store on Azure's Blob storage, as this server and machines reach it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.errors import ConfigurationError

log = logging.getLogger(__name__)

AZURES = (".blob.core.windows.net", ".dfs.core.windows.net")
ACCOUNT_OPTIONS = ("account_name", "azure_storage_account_name")


class BlobAccess:
    """`options` are obstore's, nothing secret. Threads share it."""

    def __init__(self, config: AzureConfig, url: str, options: Mapping[str, str]) -> None:
        self.url, self.options = url, options
        self._client = AzureClient(config)

    @property
    def foreign(self) -> bool:
        """Whether it is another server than Azure's, which knows nothing of a machine's identity. Emulators are of one piece:
        with an `endpoint` for Azure, all are taken for Azure's."""
        endpoint = self.options.get("endpoint", "")
        if not endpoint or self._client.config.endpoint:
            return False
        return not (urlsplit(endpoint).hostname or "").endswith(AZURES)

    def credentials(self) -> Mapping[str, object]:
        """The server's own, as an obstore credential provider."""
        return self._client.credentials()

    def lend(self, prefixes: Sequence[str], seconds: int, reads: Sequence[str] = ()) -> Mapping[str, str] | None:
        """None: a signature for a container can't be narrowed to prefixes, and one for a directory, where an account has those,
        is for one directory, while a job has several. The server carries instead.
        https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas"""
        log.info("nothing is lent of %s: its signatures can't be limited to a job's prefixes", self.url)
        return None


def store_access(config: AzureConfig, url: str, options: Mapping[str, str]) -> BlobAccess:
    """What `options` leave out comes from the settings: the storage account, an emulator's endpoint. Raises ConfigurationError."""
    merged = dict(options)
    if config.storage_account and not set(ACCOUNT_OPTIONS) & merged.keys():
        merged["account_name"] = config.storage_account
    if not set(ACCOUNT_OPTIONS) & merged.keys():
        raise ConfigurationError(
            f"the store {url} names no storage account", "set `storage_account` in the project's `azure` settings"
        )
    if config.endpoint and config.storage_account:
        merged.setdefault("endpoint", f"{config.endpoint}/{config.storage_account}")
    if merged.get("endpoint", "").startswith("http://"):
        merged.setdefault("allow_http", "true")
    return BlobAccess(config, url, merged)
