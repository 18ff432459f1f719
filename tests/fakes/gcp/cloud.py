"""The emulated Google Cloud as a test holds it: started, steered and looked at from the test's own process."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fakes.gcp.accounts import EVERYTHING, OWNER
from tests.fakes.gcp.faults import Fault
from tests.fakes.gcp.fleet import DELETED

ROOT = Path(__file__).parents[3]
STOP_SECONDS, ANSWER_SECONDS = 60, 60


class GoogleCloud:
    """A context. `endpoint` is the URL of all of Google's services but Cloud Storage, whose is `store` ("" for none)."""

    def __init__(self, *, machines: bool = False, store: bool = False) -> None:
        """`machines`: each instance boots a sandbox machine. `store`: machines reach it, and the endpoint."""
        self.label = f"emulated-{uuid.uuid4().hex[:12]}" if machines else ""
        flags = [*(("--machines", self.label) if machines else ()), *(("--store",) if store else ())]
        # a session of its own: Ctrl+C in a terminal is the tests' business; the pipe tells it of their end, whatever that is
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.gcp.server", *flags],
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

    def __enter__(self) -> GoogleCloud:
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
        """See `faults.Fault`; what isn't one of its fields is a parameter to match (`zone`, `market`, `type`, …)."""
        known = {name: more.pop(name) for name in list(more) if name in Fault.__dataclass_fields__}
        match = {**known.pop("match", {}), **more}
        self._ask("fault", asdict(Fault(operation=operation, code=code, match=match, **known)))

    def forgive(self) -> None:
        """No fault any more."""
        self._ask("forgive")

    def set(self, **settings: Any) -> None:
        """See `world.Settings`."""
        self._ask("settings", settings)

    def interrupt(self, id: str, seconds: float = 30.0) -> None:
        """Spot's preemption of an instance, by name or number: the notice now, the end in so many seconds."""
        self._ask("interrupt", {"id": id, "seconds": seconds})

    def kill(self, id: str) -> None:
        """The machine dies without notice."""
        self._ask("kill", {"id": id})

    def expire_tokens(self) -> None:
        """All that were given until now."""
        self._ask("expire")

    def reset(self) -> None:
        """As on the first day."""
        self._ask("reset")

    def key_file(self, email: str = OWNER) -> dict[str, str]:
        """The key of a service account, as it is downloaded; the owner's may everything."""
        return self._ask("key", {"email": email})

    def restricted(self, name: str, permissions: Sequence[str], condition: str = "") -> dict[str, str]:
        """The key of a new service account that may only this; `condition` is an expression of IAM's."""
        asked = {"name": name, "permissions": list(permissions), "condition": condition}
        return self.key_file(self._ask("account", asked)["email"])

    def token(self, key: Mapping[str, str] | None = None) -> str:
        """An access token of the owner's, or of the account whose key this is."""
        from google.auth.transport.requests import Request
        from google.oauth2 import service_account

        known: Any = service_account.Credentials  # untyped
        credentials = known.from_service_account_info(key or self.key_file(), scopes=[EVERYTHING])
        credentials.refresh(Request())
        return str(credentials.token)

    def make_bucket(self, name: str) -> None:
        """In Cloud Storage."""
        self._ask("bucket", {"name": name})

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """All that ever were (see `control.state`), or those in one of these states."""
        found: list[dict[str, Any]] = self._ask("state")["instances"]
        return [each for each in found if not states or each["state"] in states]

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

    def _ask(self, verb: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(asked or {}).encode()
        request = urllib.request.Request(f"{self.endpoint}/_control/{verb}", data, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            raise LookupError(json.loads(refused.read())["error"]) from None
        return found
