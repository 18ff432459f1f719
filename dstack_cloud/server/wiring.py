"""The composition root: here, and only here, concrete classes meet."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend
from dstack_cloud.backends.base.access import StoreAccess
from dstack_cloud.backends.registry import make_backends, store_access
from dstack_cloud.db import open_database
from dstack_cloud.domain.configuration import Configuration
from dstack_cloud.domain.repositories import Database
from dstack_cloud.orchestrator.keys import KeyStore
from dstack_cloud.orchestrator.links import RunnerLinks
from dstack_cloud.orchestrator.scheduler import Scheduler
from dstack_cloud.orchestrator.world import World
from dstack_cloud.services.configuration_file import ConfigurationFile
from dstack_cloud.services.context import Context
from dstack_cloud.services.sealing import KEY_VARIABLE, load_sealer, write_once
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.store import open_store

# for how long a request is sent again to a store that is away, seconds; somebody waits for the answer to a check
STORE_PATIENCE = 90.0
PROBE_PATIENCE = 5.0


@dataclass(frozen=True)
class Server:
    context: Context
    scheduler: Scheduler
    database: Database

    def active(self) -> bool:
        """Whether a job is unfinished or a machine may cost money."""
        return bool(self.database.jobs.unfinished() or self.database.instances.alive())

    def tearing_down(self) -> bool:
        """Whether a machine is left that no job needs: each is finished, or was asked to stop."""
        needed = {job.instance_id for job in self.database.jobs.unfinished() if not job.stop_request}
        return any(instance.id not in needed for instance in self.database.instances.alive())


def wire(home: Path) -> Server:
    """Raises ConfigurationError for a bad config.yaml or a database of a newer version."""
    file = ConfigurationFile(home / "config.yaml")
    configuration = file.read()
    # taken out: nothing that this server starts is to inherit it
    sealer = load_sealer(home / "secret.key", os.environ.pop(KEY_VARIABLE, ""))
    installation = _installation(home)
    database = open_database(os.environ.get("DSTACK_DATABASE") or f"sqlite:///{home / 'dstack.db'}")
    if not os.environ.get("DSTACK_DATABASE"):
        # the lock on the state folder says that whoever held these rows is dead
        database.forget_leases()
    backends = {name: _backends(home, name, configuration, installation) for name in configuration.projects}
    access = _access(configuration)
    world = World(
        clock=time.time,
        database=database,
        stores={name: _store(home, name, configuration, access.get(name)) for name in configuration.projects},
        backends=backends,
        access=access,
        links=RunnerLinks(
            KeyStore(home / "keys"), lambda instance: backends.get(instance.project, {}).get(instance.offer.backend)
        ),
        unsealer=sealer,
        installation=installation,
        ca_bundle=_ca_bundle(configuration),
        own_ca_bundle=_own_ca_bundle(),
    )
    scheduler = Scheduler(world)
    probes = {
        name: _store(home, name, configuration, access.get(name), PROBE_PATIENCE) for name in configuration.projects
    }
    checked = replace(file, check=lambda new: _check(home, new, installation))
    context = Context(scheduler.world, sealer, checked, configuration.projects, configuration.default, probes)
    return Server(context, scheduler, database)


def _check(home: Path, configuration: Configuration, installation: str) -> None:
    """Makes all that a server would make of it, and uses none. Raises ConfigurationError."""
    access = _access(configuration)
    for name in configuration.projects:
        _backends(home, name, configuration, installation)
        _store(home, name, configuration, access.get(name))
    _ca_bundle(configuration)


def _installation(home: Path) -> str:
    """The owner tag of this state folder: what carries it on any cloud is ours."""
    path = home / "installation"
    if not path.exists():
        write_once(path, uuid.uuid4().hex.encode())
    return path.read_text().strip()


def _access(configuration: Configuration) -> dict[str, StoreAccess]:
    """By project, for those whose store is in a cloud."""
    found = {name: store_access(p.store, p.store_options, p.settings) for name, p in configuration.projects.items()}
    return {name: access for name, access in found.items() if access is not None}


def _store(
    home: Path, project: str, configuration: Configuration, access: StoreAccess | None, patience: float = STORE_PATIENCE
) -> Store:
    settings = configuration.projects[project]
    if access is not None:
        return open_store(access.url, options=access.options, credentials=access.credentials, patience=patience)
    url = settings.store or (home / "store" / project).as_uri()
    return open_store(url, options=settings.store_options, patience=patience)


def _backends(home: Path, project: str, configuration: Configuration, installation: str) -> Mapping[str, Backend]:
    settings = configuration.projects[project]
    per_backend = {name: dict(values) for name, values in settings.settings.items()}
    if os.environ.get("DSTACK_LOCAL_MODE"):
        per_backend.setdefault("local", {})["mode"] = os.environ["DSTACK_LOCAL_MODE"]
    backends = make_backends(home, installation, per_backend, configuration.default_image, project)
    for name in settings.backends:
        if name not in backends:
            known = ", ".join(sorted(backends))
            raise errors.ConfigurationError(
                f"project {project}: there is no backend {name!r}", f"this version has: {known}"
            )
    return backends


def _ca_bundle(configuration: Configuration) -> str:
    if not configuration.ca_bundle:
        return ""
    try:
        return Path(configuration.ca_bundle).expanduser().read_text()
    except OSError as error:
        raise errors.ConfigurationError(f"ca_bundle can't be read: {error}", "name a PEM file") from None


def _own_ca_bundle() -> str:
    """Of a computer whose network is a company's, with a proxy that signs for everybody."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if path := os.environ.get(name):
                return Path(path).read_text()
    return ""
