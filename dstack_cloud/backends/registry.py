"""All backends: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from dstack_cloud import errors
from dstack_cloud.backends.aws.backend import AwsBackend
from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.lending import store_access as s3_access
from dstack_cloud.backends.azure.backend import AzureBackend
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.lending import store_access as blob_access
from dstack_cloud.backends.base import Backend
from dstack_cloud.backends.base.access import StoreAccess
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.lending import store_access as gs_access
from dstack_cloud.backends.local.backend import LocalBackend
from dstack_cloud.backends.local.config import LocalConfig
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.ssh.backend import SshBackend
from dstack_cloud.backends.ssh.config import SshConfig
from dstack_cloud.domain.configuration import DEFAULT_PROJECT
from dstack_cloud.domain.resources import Frozen

# what a job without `image` runs in: on this computer the image that is built here, elsewhere one that any engine can pull
LOCAL_IMAGE = "dstack-cloud/job:py{python}"
REMOTE_IMAGE = "python:{python}"

Settings = Mapping[str, Mapping[str, Any]]
Config = TypeVar("Config", bound=Frozen)
Stores = Mapping[str, Callable[[Config, str, Mapping[str, str]], StoreAccess]]


class Site(NamedTuple):
    """Where a backend works: `home` keeps what it learnt, `installation` owns what it makes for `project`. `default_image` is what config.yaml says
    that jobs without one run in, "" where it says nothing."""

    home: Path
    installation: str
    default_image: str
    project: str

    @property
    def image_here(self) -> str:
        return self.default_image or LOCAL_IMAGE

    @property
    def image(self) -> str:
        return self.default_image or REMOTE_IMAGE


@dataclass(frozen=True)
class Entry(Generic[Config]):
    """A backend's settings and how it is made of them; `stores`: by the scheme of a store's URL, how that is reached."""

    config: type[Config]
    make: Callable[[Config, Site], Backend]
    stores: Stores[Config] = field(default_factory=dict)


def _cloud(
    config: type[Config], backend: Callable[[Config, Path, str, str], Backend], stores: Stores[Config]
) -> Entry[Config]:
    return Entry(config, lambda settings, site: backend(settings, site.home, site.installation, site.image), stores)


BACKENDS: dict[str, Entry[Any]] = {
    "local": Entry(LocalConfig, lambda config, site: LocalBackend(config, site.home, site.image_here)),
    "sandbox": Entry(SandboxConfig, lambda config, site: SandboxBackend(config, site.home, site.installation)),
    "ssh": Entry(SshConfig, lambda config, site: SshBackend(config, site.installation, site.image)),
    "aws": _cloud(AwsConfig, AwsBackend, {"s3": s3_access}),
    "gcp": _cloud(GcpConfig, GcpBackend, {"gs": gs_access}),
    "azure": Entry(
        AzureConfig,
        lambda config, site: AzureBackend(config, site.home, site.installation, site.image, site.project),
        {"az": blob_access},
    ),
}


def make_backends(
    home: Path, installation: str, settings: Settings, default_image: str, project: str = DEFAULT_PROJECT
) -> dict[str, Backend]:
    """Every backend of this version for a project, by name; nothing is contacted. Raises ConfigurationError for bad settings."""
    for name in settings:
        if name not in BACKENDS:
            known = ", ".join(sorted(BACKENDS))
            raise errors.ConfigurationError(f"settings: there is no backend {name!r}", f"this version has: {known}")
    site = Site(home, installation, default_image, project)
    return {name: entry.make(_read(entry, settings, name), site) for name, entry in BACKENDS.items()}


def store_access(url: str, options: Mapping[str, str], settings: Settings) -> StoreAccess | None:
    """How a store in a cloud is reached, by this server and by machines; None for one that needs no login.

    What `options` leave out comes from that cloud's settings: the region, an emulator's endpoint.
    """
    scheme = urlsplit(url).scheme
    for name, entry in BACKENDS.items():
        if scheme in entry.stores:
            return entry.stores[scheme](_read(entry, settings, name), url, options)
    return None


def _read(entry: Entry[Config], settings: Settings, name: str) -> Config:
    try:
        return entry.config.model_validate(settings.get(name, {}))
    except ValidationError as error:
        lines = "; ".join(_sentence(name, item["loc"], item["msg"]) for item in error.errors())
        raise errors.ConfigurationError(f"config.yaml: {lines}", "mend that, then try again") from None


def _sentence(name: str, place: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in ("settings", name, *place))
    return f"`{path}`: {message.removeprefix('Value error, ')}"
