"""All backends: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from dstack_cloud import errors
from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.lending import s3_access
from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.lending import blob_access
from dstack_cloud.backends.base import Backend
from dstack_cloud.backends.base.access import StoreAccess
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.lending import gs_access
from dstack_cloud.backends.local.backend import LocalBackend
from dstack_cloud.backends.local.config import LocalConfig
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.ssh.backend import SshBackend
from dstack_cloud.backends.ssh.config import SshConfig
from dstack_cloud.domain.resources import Frozen

# what a job without `image` runs in: on this computer the image that is built here, elsewhere one that any engine can pull
LOCAL_IMAGE = "dstack-cloud/job:py{python}"
REMOTE_IMAGE = "python:{python}"

Settings = Mapping[str, Mapping[str, Any]]
Config = TypeVar("Config", bound=Frozen)

# by the scheme of a store's URL: how it is reached, given its options and the settings of the project's backends
STORES: Mapping[str, Callable[[str, Mapping[str, str], Settings], StoreAccess]] = {
    "s3": lambda url, options, settings: s3_access(_read(AwsConfig, settings, "aws"), url, options),
    "gs": lambda url, options, settings: gs_access(_read(GcpConfig, settings, "gcp"), url, options),
    "az": lambda url, options, settings: blob_access(_read(AzureConfig, settings, "azure"), url, options),
}


def make_backends(home: Path, installation: str, settings: Settings, default_image: str) -> dict[str, Backend]:
    """Every backend of this version, by name; nothing is contacted. Raises ConfigurationError for bad settings."""
    elsewhere = default_image or REMOTE_IMAGE
    made: list[Backend] = [
        LocalBackend(_read(LocalConfig, settings, "local"), home, default_image or LOCAL_IMAGE),
        SandboxBackend(_read(SandboxConfig, settings, "sandbox"), home, installation),
        SshBackend(_read(SshConfig, settings, "ssh"), installation, elsewhere),
        AwsBackend(_read(AwsConfig, settings, "aws"), home, installation, elsewhere),
        GcpBackend(_read(GcpConfig, settings, "gcp"), home, installation, elsewhere),
        AzureBackend(_read(AzureConfig, settings, "azure"), home, installation, elsewhere),
    ]
    backends = {backend.name: backend for backend in made}
    for name in settings:
        if name not in backends:
            known = ", ".join(sorted(backends))
            raise errors.ConfigurationError(f"settings: there is no backend {name!r}", f"this version has: {known}")
    return backends


def store_access(url: str, options: Mapping[str, str], settings: Settings) -> StoreAccess | None:
    """How a store in a cloud is reached, by this server and by machines; None for one that needs no login.

    What `options` leave out comes from that cloud's settings: the region, an emulator's endpoint.
    """
    reach = STORES.get(urlsplit(url).scheme)
    return reach(url, options, settings) if reach else None


def _read(model: type[Config], settings: Settings, name: str) -> Config:
    try:
        return model.model_validate(settings.get(name, {}))
    except ValidationError as error:
        lines = "; ".join(_sentence(name, item["loc"], item["msg"]) for item in error.errors())
        raise errors.ConfigurationError(f"config.yaml: {lines}", "mend that, then try again") from None


def _sentence(name: str, place: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in ("settings", name, *place))
    return f"`{path}`: {message.removeprefix('Value error, ')}"
