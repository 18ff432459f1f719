"""The emulated Google Cloud asked as a program does it: plain HTTP, and Google's own SDK."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from google.auth.credentials import Credentials
from google.cloud import compute_v1 as sdk
from google.oauth2 import service_account

from tests.fakes.gcp import PROJECT, ZONE, GoogleCloud

PATIENCE_SECONDS = 120
COMPUTE = f"/compute/v1/projects/{PROJECT}"
INSTANCES = f"{COMPUTE}/zones/{ZONE}/instances"
UBUNTU = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
SPOT = {"provisioningModel": "SPOT", "instanceTerminationAction": "DELETE"}


def until(condition: Callable[[], Any]) -> Any:
    """What it gives as soon as that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def ask(
    cloud: GoogleCloud, verb: str, path: str, body: object = None, *, token: str | None = None, **query: str
) -> tuple[int, dict[str, Any]]:
    """Status and document of an answer."""
    url = f"{cloud.endpoint}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {cloud.token() if token is None else token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=verb), timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def refusal(cloud: GoogleCloud, verb: str, path: str, body: object = None, **query: str) -> tuple[int, str, str]:
    """Status, reason and message."""
    status, answer = ask(cloud, verb, path, body, **query)
    assert status >= 400, answer
    return status, answer["error"]["errors"][0]["reason"], answer["error"]["message"]


def instance(name: str = "vm-1", **changes: Any) -> dict[str, Any]:
    """What is asked for; None leaves a field out."""
    boot = {"sourceImage": UBUNTU, "diskSizeGb": "20", "diskType": f"zones/{ZONE}/diskTypes/pd-balanced"}
    wanted = {
        "name": name,
        "machineType": f"zones/{ZONE}/machineTypes/e2-standard-2",
        "labels": {"owner": "me"},
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": boot}],
        "networkInterfaces": [{"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}],
        **changes,
    }
    return {field: value for field, value in wanted.items() if value is not None}


def launch(cloud: GoogleCloud, name: str = "vm-1", *, path: str = INSTANCES, **changes: Any) -> dict[str, Any]:
    """The operation once it is done."""
    status, operation = ask(cloud, "POST", path, instance(name, **changes))
    assert status == 200, operation
    return done(cloud, operation)


def done(cloud: GoogleCloud, operation: dict[str, Any]) -> dict[str, Any]:
    path = operation["selfLink"].partition("googleapis.com")[2]
    status, found = ask(cloud, "POST", f"{path}/wait")
    assert status == 200, found
    return found


def delete(cloud: GoogleCloud, name: str = "vm-1") -> dict[str, Any]:
    return done(cloud, ask(cloud, "DELETE", f"{INSTANCES}/{name}")[1])


def state(cloud: GoogleCloud, name: str = "vm-1") -> str:
    return str(ask(cloud, "GET", f"{INSTANCES}/{name}")[1].get("status", "gone"))


def errors(operation: dict[str, Any]) -> list[str]:
    """The codes with which it ended."""
    return [each["code"] for each in operation.get("error", {}).get("errors", [])]


def client(cloud: GoogleCloud, kind: str, credentials: Credentials | None = None) -> Any:
    """The SDK's, by its class's name. Its operations are asked for at Google unless told otherwise."""
    place = {
        "credentials": credentials or service_account.Credentials.from_service_account_info(cloud.key_file()),
        "client_options": {"api_endpoint": cloud.endpoint},
    }
    made = getattr(sdk, kind)(**place)
    polled = {"zone_operations": sdk.ZoneOperationsClient, "global_operations": sdk.GlobalOperationsClient}
    for name, operations in polled.items():
        made.transport._extended_operations_services[name] = operations(**place)
    return made
