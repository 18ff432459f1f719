"""The emulated Google Cloud as a test holds it: started, steered and looked at from the test's own process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.emulated import EmulatedCloud
from tests.fakes.gcp.accounts import EVERYTHING, OWNER
from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.fleet import DELETED


class GoogleCloud(EmulatedCloud):
    """A context. `endpoint` is the URL of all of Google's services but Cloud Storage, whose is `store` ("" for none)."""

    module, fault = "tests.fakes.gcp.server", Fault
    # its owner's token, while it is good
    _owners = ""

    def reset(self) -> None:
        self._owners = ""
        super().reset()

    def expire_tokens(self) -> None:
        """All that were given until now."""
        self._owners = ""
        self._ask("expire")

    def key_file(self, email: str = OWNER) -> dict[str, str]:
        """The key of a service account, as it is downloaded; the owner's may everything."""
        return self._ask("key", {"email": email, "token_uri": f"{self.endpoint}/token"})

    def restricted(self, name: str, permissions: Sequence[str], condition: str = "") -> dict[str, str]:
        """The key of a new service account that may only this; `condition` is an expression of IAM's."""
        asked = {"name": name, "permissions": list(permissions), "condition": condition}
        return self.key_file(self._ask("account", asked)["email"])

    def token(self, key: Mapping[str, str] | None = None) -> str:
        """An access token of the owner's, or of the account whose key this is."""
        if key is not None:
            return _token(key)
        self._owners = self._owners or _token(self.key_file())
        return self._owners

    def make_bucket(self, name: str) -> None:
        """In Cloud Storage."""
        self._ask("bucket", {"name": name})

    def calls(self, operation: str = "", service: str = "compute") -> int:
        """How often a method ("instances.insert"), or any of the service, was asked for."""
        known: Mapping[str, int] = self._ask("state")["calls"]
        name = f"{service}.{operation}"
        return sum(count for key, count in known.items() if key == name or (not operation and key.startswith(name)))

    def held(self, *, groups: bool = False) -> list[str]:
        """What costs money or was made for one run and is still there. `groups`: the lasting firewall rules, too."""
        state = self._ask("state")
        alive = [
            f"instance {each['name']} ({each['state']})" for each in state["instances"] if each["state"] != DELETED
        ]
        kinds = ("disks", *(("firewalls",) if groups else ()))
        return alive + [f"{kind[:-1]} {text}" for kind in kinds for text in state[kind]]


def _token(key: Mapping[str, str]) -> str:
    from google.auth.transport.requests import Request
    from google.oauth2 import service_account

    known: Any = service_account.Credentials  # untyped
    credentials = known.from_service_account_info(key, scopes=[EVERYTHING])
    credentials.refresh(Request())
    return str(credentials.token)
