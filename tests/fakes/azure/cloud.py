"""The emulated Azure as a test holds it: started, steered and looked at from the test's own process."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.directory import CLIENT, MANAGEMENT, SECRET, STORAGE, TENANT
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.world import DELETED, SUBSCRIPTION

LOCATION = "eastus"
ROOT = Path(__file__).parents[3]
SINGULAR = {"addresses": "address"}
STOP_SECONDS, ANSWER_SECONDS = 60, 60


class AzureCloud:
    """A context. `endpoint` is the URL of Resource Manager, of Entra ID and of the price list; `store` that of Azurite ("" for none).

    `tenant`, `subscription`, `client` and `secret` are of an owner of the subscription.
    """

    tenant, subscription, client, secret = TENANT, SUBSCRIPTION, CLIENT, SECRET

    def __init__(self, *, machines: bool = False, store: bool = False) -> None:
        """`machines`: each virtual machine boots a sandbox machine. `store`: Azurite; machines reach it, and the endpoint."""
        self.label = f"emulated-{uuid.uuid4().hex[:12]}" if machines else ""
        flags = [*(("--machines", self.label) if machines else ()), *(("--store",) if store else ())]
        # a session of its own: Ctrl+C in a terminal is the tests' business; the pipe tells it of their end, whatever that is
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.azure.server", *flags],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("the emulated cloud didn't start: its complaint is in this process's standard error")
        urls = json.loads(line)
        self.endpoint, self.store = str(urls["endpoint"]), str(urls["store"])

    def __enter__(self) -> AzureCloud:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, and all that it made."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def fail(self, operation: str, code: str = "", **more: Any) -> None:
        """See `faults.Fault`; what isn't one of its fields is a fact to match (`zone`, `market`, `type`, `name`, …)."""
        known = {name: more.pop(name) for name in list(more) if name in Fault.__dataclass_fields__}
        match = {**known.pop("match", {}), **more}
        self._ask("fault", asdict(Fault(operation=operation, code=code, match=match, **known)))

    def forgive(self) -> None:
        """No fault any more."""
        self._ask("forgive")

    def set(self, **settings: float | bool) -> None:
        """See `world.Settings`."""
        self._ask("settings", settings)

    def interrupt(self, id: str, seconds: float = 30.0) -> None:
        """An eviction: the notice now, the end in so many seconds. `id` is a machine's id or name."""
        self._ask("interrupt", {"id": id, "seconds": seconds})

    def kill(self, id: str) -> None:
        """The machine dies without notice: it is stopped, and still billed."""
        self._ask("kill", {"id": id})

    def power_off(self, id: str) -> None:
        """As from inside a machine; for those without a body."""
        self._ask("stop", {"id": id})

    def reset(self) -> None:
        """As on the first day."""
        self._ask("reset")

    def add_client(self, *actions: str, scope: str = f"/subscriptions/{SUBSCRIPTION}", secret: str = SECRET) -> str:
        """The id of a client that may do only that; it is effective at once."""
        return str(self._ask("principal", {"actions": actions, "scope": scope, "secret": secret})["client"])

    def token(self, client: str = CLIENT, audience: str = MANAGEMENT, seconds: float = 3600) -> str:
        """As Entra ID gives it. Negative seconds: an expired one."""
        asked = {"client": client, "audience": audience, "seconds": seconds}
        return str(self._ask("token", asked)["token"])

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """All machines that ever were (see `control.state`), or those in one of these states."""
        found: list[dict[str, Any]] = self._ask("state")["instances"]
        return [each for each in found if not states or each["state"] in states]

    def calls(self, operation: str = "") -> int:
        """How often an operation (`virtual_machines.get`), all of a group (`virtual_machines`), or any was asked for."""
        known: Mapping[str, int] = self._ask("state")["calls"]
        return sum(count for key, count in known.items() if not operation or f"{key}.".startswith(f"{operation}."))

    def held(self, *, groups: bool = False) -> list[str]:
        """What costs money or was made for one run and is still there. `groups`: the lasting networks and groups, too."""
        state = self._ask("state")
        alive = {each["resource"].lower(): each["state"] for each in state["instances"] if each["state"] != DELETED}
        lasting = ("networks", "groups", "resource groups") if groups else ()
        kinds = ("machines", "disks", "interfaces", "addresses", *lasting)
        found = [(SINGULAR.get(kind, kind[:-1]), id) for kind in kinds for id in state["held"][kind]]
        return [f"{kind} {id}{f' ({alive[id.lower()]})' if id.lower() in alive else ''}" for kind, id in found]

    def make_container(self, name: str = "") -> str:
        """In Blob storage; without a name, one that nobody else has."""
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        headers = {"Authorization": f"Bearer {self.token(audience=STORAGE)}", "x-ms-version": "2022-11-02"}
        url = f"{self.endpoint}/{ACCOUNT}/{name}?restype=container"
        urllib.request.urlopen(
            urllib.request.Request(url, method="PUT", headers=headers), timeout=ANSWER_SECONDS
        ).close()
        return name

    def _ask(self, verb: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(asked or {}).encode()
        request = urllib.request.Request(f"{self.endpoint}/_control/{verb}", data, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            raise LookupError(json.loads(refused.read())["error"]) from None
        return found
