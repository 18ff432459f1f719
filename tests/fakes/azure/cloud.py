"""The emulated Azure as a test holds it: started, steered and looked at from the test's own process."""

from __future__ import annotations

import urllib.request
import uuid
from collections.abc import Mapping, Sequence

from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.directory import CLIENT, MANAGEMENT, SECRET, STORAGE, TENANT
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.world import DELETED, SUBSCRIPTION
from tests.fakes.emulated import ANSWER_SECONDS, EmulatedCloud

LOCATION = "eastus"
SINGULAR = {"addresses": "address"}


class AzureCloud(EmulatedCloud):
    """A context. `endpoint` is the URL of Resource Manager, of Entra ID and of the price list; `store` that of Azurite ("" for none).

    `tenant`, `subscription`, `client` and `secret` are of an owner of the subscription.
    """

    module, fault = "tests.fakes.azure.server", Fault

    tenant, subscription, client, secret = TENANT, SUBSCRIPTION, CLIENT, SECRET

    def kill(self, id: str) -> None:
        """The machine dies without notice: it is stopped, and still billed."""
        self._ask("kill", {"id": id})

    def power_off(self, id: str) -> None:
        """As from inside a machine; for those without a body."""
        self._ask("stop", {"id": id})

    def add_client(
        self,
        *actions: str,
        data: Sequence[str] = (),
        scope: str = f"/subscriptions/{SUBSCRIPTION}",
        secret: str = SECRET,
    ) -> str:
        """The id of a client that may do only that, `data` with blobs; it is effective at once."""
        asked = {"actions": actions, "data": data, "scope": scope, "secret": secret}
        return str(self._ask("principal", asked)["client"])

    def token(self, client: str = CLIENT, audience: str = MANAGEMENT, seconds: float = 3600) -> str:
        """As Entra ID gives it. Negative seconds: an expired one."""
        asked = {"client": client, "audience": audience, "seconds": seconds}
        return str(self._ask("token", asked)["token"])

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
