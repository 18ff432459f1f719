"""How a test steers the emulated Azure, beside what `steering` has for all clouds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.fakes.azure import machines, network
from tests.fakes.azure.calls import Answer, App, Environ, Json, StartResponse, send
from tests.fakes.azure.directory import Assignment, Role, token
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.fleet import Fleet
from tests.fakes.azure.groups import GROUP
from tests.fakes.azure.launches import MACHINES
from tests.fakes.azure.world import Life, World
from tests.fakes.steering import PATH, Verb, Verbs

HELD = {
    "disks": machines.DISKS,
    "interfaces": network.NICS,
    "addresses": network.ADDRESSES,
    "networks": network.NETWORKS,
    "groups": network.GROUPS,
    "resource groups": GROUP,
    "machines": MACHINES,
}


class Control:
    """A WSGI application: its own paths, and everything else to `app`."""

    def __init__(self, app: App, world: World) -> None:
        self._app, self._world, fleet = app, world, Fleet(world)
        more: dict[str, Verb] = {
            "interrupt": lambda asked: fleet.interrupt(asked["id"], asked["seconds"]),
            "kill": lambda asked: fleet.kill(asked["id"]),
            "stop": lambda asked: fleet.stopped_itself(fleet.find(asked["id"]).id),
            "principal": self._principal,
            "token": self._token,
        }
        self._verbs = Verbs(world, Fault, lambda: state(world), more)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(PATH):
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer, status = self._verbs.do(path, body)
        return send(Answer(status, answer), start_response)

    def _principal(self, asked: Json) -> Json:
        """A client that may do certain things, at once."""
        with self._world.lock:
            directory = self._world.directory
            made = directory.add(secret=asked["secret"])
            if asked.get("actions"):
                title, data = f"role of {made.client}", tuple(asked.get("data", ()))
                directory.roles[made.id] = Role(made.id, title, tuple(asked["actions"]), data=data)
                directory.assignments[made.id] = Assignment(made.id, made.id, asked["scope"], 0.0)
            return {"client": made.client, "id": made.id}

    def _token(self, asked: Json) -> Json:
        with self._world.lock:
            principal = self._world.directory.principals[asked["client"]]
            return {"token": token(principal, asked["audience"], asked["seconds"])}


def state(world: World) -> Json:
    """Everything that is there or was a machine, and how often each operation was called."""
    with world.lock:
        world.settle()
        held = {name: [each.id for each in world.of_type(type)] for name, type in HELD.items()}
        instances, calls = [_instance(world, life) for life in world.lives.values()], dict(world.calls)
        return {"instances": instances, "calls": calls, "held": held}


def _instance(world: World, life: Life) -> dict[str, Any]:
    vm = world.find(life.resource)
    return {
        **{"id": life.id, "name": life.resource.rpartition("/")[2], "resource": life.resource, "region": life.region},
        **{"zone": life.zone, "type": life.type, "market": "spot" if life.spot else "on-demand"},
        **{"state": life.state, "reason": life.reason, "address": "" if life.ended else life.address},
        "tags": dict((vm.body.get("tags") if vm else life.asked.get("tags")) or {}),
    }
