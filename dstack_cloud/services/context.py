"""What every use case gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend
from dstack_cloud.domain.configuration import DEFAULT_PROJECT, ProjectSettings
from dstack_cloud.orchestrator.world import World
from dstack_cloud.services.configuration_file import ConfigurationFile
from dstack_cloud.services.sealing import Sealer
from dstack_cloud.storage.base import Store


@dataclass(frozen=True)
class Context:
    """`world` is the scheduler's, so that `world.wake` reaches it. `file` is where the configuration was read from; `settings` are its
    projects, `default_project` the one that is meant where none is named. `probes` are the same stores again, opened with
    little patience, for whoever waits for the answer whether they work."""

    world: World
    sealer: Sealer
    file: ConfigurationFile
    settings: Mapping[str, ProjectSettings] = field(default_factory=dict)
    default_project: str = DEFAULT_PROJECT
    probes: Mapping[str, Store] = field(default_factory=dict)

    def project(self, name: str) -> ProjectSettings:
        """Raises NotFound with the projects there are."""
        if name not in self.settings:
            known = ", ".join(sorted(self.settings))
            raise errors.NotFound(
                f"there is no project {name!r}", f"the configuration has: {known}; `dstack config use NAME` chooses one"
            )
        return self.settings[name]

    def store(self, project: str) -> Store:
        self.project(project)
        return self.world.stores[project]

    def backends(self, project: str) -> Mapping[str, Backend]:
        self.project(project)
        return self.world.backends[project]
