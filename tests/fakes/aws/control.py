"""How a test steers the emulated AWS, beside what `steering` has for all clouds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.fakes.aws.calls import App, Environ, StartResponse, as_json, send
from tests.fakes.aws.faults import Fault
from tests.fakes.aws.world import TERMINATED, World, regions
from tests.fakes.steering import PATH, Json, Verb, Verbs


class Control:
    """A WSGI application: its own paths, and everything else to `app`."""

    def __init__(self, app: App, world: World) -> None:
        self._app = app
        more: dict[str, Verb] = {
            "interrupt": lambda asked: world.interrupt(asked["id"], asked["seconds"]),
            "kill": lambda asked: world.kill(asked["id"]),
        }
        self._verbs = Verbs(world, Fault, lambda: state(world), more)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if not path.startswith(PATH):
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return send(as_json(*self._verbs.do(path, body)), start_response)


def state(world: World) -> Json:
    """Everything in every region that was ever looked at, and how often each operation was called."""
    held: dict[str, list[str]] = {kind: [] for kind in ("volumes", "interfaces", "groups", "keys")}
    with world.lock:
        world.settle()
        instances, calls = [_instance(each) for each in world.instances()], dict(world.calls)
        for region, backend in regions().items():
            groups = [group.name for known in backend.groups.values() for group in known.values()]
            held["volumes"] += [f"{region} {id}" for id in backend.volumes]
            held["interfaces"] += [f"{region} {id}" for id in backend.enis]
            held["keys"] += [f"{region} {name}" for name in backend.key_pairs]
            held["groups"] += [f"{region} {name}" for name in groups if name != "default"]
    return {"instances": instances, "calls": calls, **held}


def _instance(instance: Any) -> Json:
    """Its address only while it has one."""
    ended = instance.state == TERMINATED[0]
    return {
        "id": instance.id,
        "region": instance.region_name,
        "zone": instance.availability_zone,
        "type": instance.instance_type,
        "market": instance.lifecycle or "on-demand",
        "state": instance.state,
        "reason": instance.state_reason.code or "",
        "address": "" if ended else instance.public_ip or instance.private_ip,
        "tags": {tag["key"]: tag["value"] for tag in instance.get_tags()},
    }
