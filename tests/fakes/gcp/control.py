"""How a test steers the emulated Google Cloud, beside what `steering` has for all clouds."""

from __future__ import annotations

from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.fleet import DELETED, Life, is_spot
from tests.fakes.gcp.places import PROJECT, path_of, region_of
from tests.fakes.gcp.wire import Answer, App, Json, Refusal, Request, as_json
from tests.fakes.gcp.world import World
from tests.fakes.steering import PATH, Verb, Verbs


class Control:
    """An application of `wire`: its own paths, and everything else to `app`."""

    def __init__(self, app: App, world: World) -> None:
        self._app, self._world = app, world
        more: dict[str, Verb] = {
            "interrupt": lambda asked: world.interrupt(asked["id"], asked["seconds"]),
            "kill": lambda asked: world.kill(asked["id"]),
            "bucket": lambda asked: world.make_bucket(asked["name"]),
            "account": self._account,
            "key": lambda asked: world.accounts.key_file(asked["email"], asked["token_uri"]),
            "expire": lambda asked: world.accounts.expire(),
        }
        self._verbs = Verbs(world, Fault, lambda: state(world), more)

    def __call__(self, request: Request) -> Answer | None:
        if not request.path.startswith(PATH):
            return self._app(request)
        try:
            return as_json(*self._verbs.do(request.path, request.body))
        except Refusal as wrong:
            return as_json({"error": repr(wrong)}, 400)

    def _account(self, asked: Json) -> Json:
        """One that may only this, and where `condition` says so; with a role of its own."""
        name = asked["name"]
        with self._world.lock:
            policies, role = self._world.policies, f"projects/{PROJECT}/roles/{name.replace('-', '_')}"
            account = self._world.accounts.add(f"{name}@{PROJECT}.iam.gserviceaccount.com")
            policies.roles[role] = {"name": role, "stage": "GA", "includedPermissions": asked["permissions"]}
            condition = {"condition": {"title": name, "expression": asked["condition"]}} if asked["condition"] else {}
            binding = {"role": role, "members": [f"serviceAccount:{account['email']}"], **condition}
            policies.project.bindings.append(binding)
        return {"email": account["email"]}


def state(world: World) -> Json:
    """Everything that costs or lasts, and how often each method was called."""
    with world.lock:
        world.settle()
        return {
            "instances": [_instance(life, document) for life, document in world.fleet.all()],
            "calls": dict(world.calls),
            "disks": [_name(each) for each in world.resources.all("disks")],
            "firewalls": [_name(each) for each in world.resources.all("firewalls")],
        }


def _name(document: Json) -> str:
    return path_of(document["selfLink"], "").partition("/")[2].partition("/")[2]


def _instance(life: Life, document: Json) -> Json:
    """Its address only while it has one."""
    zone = document["zone"].rpartition("/")[2]
    configs = document["networkInterfaces"][0].get("accessConfigs", [{}])
    address = configs[0].get("natIP", "") or document["networkInterfaces"][0]["networkIP"]
    return {
        "id": document["id"],
        "name": document["name"],
        "region": region_of(zone),
        "zone": zone,
        "type": document["machineType"].rpartition("/")[2],
        "market": "spot" if is_spot(document) else "on-demand",
        "state": document["status"],
        "reason": life.reason,
        "address": "" if document["status"] == DELETED else address,
        "labels": document.get("labels", {}),
    }
