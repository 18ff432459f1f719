"""Orphans: what carries our owner tag and belongs to no living row is terminated, and keys that open nothing are removed."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend, Owned
from dstack_cloud.orchestrator.world import World

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Orphan:
    project: str
    backend: str
    machine: Owned


def find_orphans(world: World) -> list[Orphan]:
    """The rows are read after the listing, for a machine made meanwhile has its row already, because intent comes first; and
    before it, for one that ended meanwhile is on an old list."""
    alive = {instance.id for instance in world.database.instances.alive()}
    listed = [
        (project, name, machine)
        for project, backends in world.backends.items()
        for name, backend in backends.items()
        for machine in _owned(backend)
    ]
    alive |= {instance.id for instance in world.database.instances.alive()}
    return [Orphan(project, name, machine) for project, name, machine in listed if machine.key not in alive]


def _owned(backend: Backend) -> list[Owned]:
    try:
        return backend.list_owned()
    except errors.BackendError as error:
        log.info("%s can't list its machines now: %s", backend.name, error.summary)
        return []


def reap(world: World) -> list[Orphan]:
    """Terminates all orphans and says which they were. Also removes keys of machines that are no more: a server that died
    between the record of a machine's end and their removal has left them."""
    world.links.sweep(lambda: {instance.id for instance in world.database.instances.alive()})
    orphans = find_orphans(world)
    for orphan in orphans:
        log.warning("terminating %s on %s: no row owns it", orphan.machine.ref, orphan.backend)
        try:
            world.backend(orphan.project, orphan.backend).terminate([orphan.machine.ref])
        except errors.BackendError as error:
            log.warning("%s: %s", error.code, error.summary)
    return orphans
