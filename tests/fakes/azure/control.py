"""How a test steers the emulated cloud from its own process: JSON over HTTP, below one path of the same endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from tests.fakes.azure import machines, network
from tests.fakes.azure.calls import Answer, App, Environ, Json, StartResponse, send
from tests.fakes.azure.directory import Assignment, Role, token
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.fleet import Fleet
from tests.fakes.azure.groups import GROUP
from tests.fakes.azure.launches import MACHINES
from tests.fakes.azure.world import Life, World

PATH = "/_control/"
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
        self._verbs: Mapping[str, Callable[[Json], Json | None]] = {
            "fault": lambda asked: world.faults.add(Fault(**asked)),
            "forgive": lambda asked: world.faults.clear(),
            "settings": self._set,
            "interrupt": lambda asked: fleet.interrupt(asked["id"], asked["seconds"]),
            "kill": lambda asked: fleet.kill(asked["id"]),
            "stop": lambda asked: fleet.stopped_itself(fleet.find(asked["id"]).id),
            "principal": self._principal,
            "token": self._token,
            "reset": lambda asked: world.reset(),
            "state": lambda asked: state(world),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(PATH):
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return send(self._do(path.removeprefix(PATH), json.loads(body or b"{}")), start_response)

    def _do(self, verb: str, asked: Json) -> Answer:
        if verb not in self._verbs:
            return Answer(404, {"error": f"there is no {verb}"})
        try:
            return Answer(200, self._verbs[verb](asked) or {})
        except (TypeError, LookupError) as wrong:
            return Answer(400, {"error": repr(wrong)})

    def _set(self, asked: Json) -> None:
        self._world.settings = replace(self._world.settings, **asked)

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
