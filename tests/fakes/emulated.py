"""An emulated cloud as a test holds it: a process of its own, started, steered and looked at from the test's."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
STOP_SECONDS, ANSWER_SECONDS = 60, 60


class EmulatedCloud(ABC):
    """A context. `endpoint` is the URL of the cloud's services, `store` that of its object store where it is another one ("" for
    none); `label` is on all that it has in Docker. `module` is the program, `fault` the class of its orders to do wrong."""

    module: ClassVar[str]
    fault: ClassVar[type[Any]]

    def __init__(self, *, machines: bool = False, store: bool = False) -> None:
        """`machines`: each instance boots a sandbox machine. `store`: a real object store, too; machines reach it, and the endpoint."""
        self.label = f"emulated-{uuid.uuid4().hex[:12]}" if machines else ""
        flags = [*(("--machines", self.label) if machines else ()), *(("--store",) if store else ())]
        # a session of its own: Ctrl+C in a terminal is the tests' business; the pipe tells it of their end, whatever that is
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, *flags],
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

    def __enter__(self) -> Self:
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
        """See each cloud's `faults.Fault`; what isn't one of its fields is a fact to match (`zone`, `market`, `type`, …)."""
        known = {name: more.pop(name) for name in list(more) if name in self.fault.__dataclass_fields__}
        match = {**known.pop("match", {}), **more}
        self._ask("fault", asdict(self.fault(operation=operation, code=code, match=match, **known)))

    def forgive(self) -> None:
        """No fault any more."""
        self._ask("forgive")

    def set(self, **settings: Any) -> None:
        """See each cloud's `world.Settings`."""
        self._ask("settings", settings)

    def interrupt(self, id: str, seconds: float = 30.0) -> None:
        """A spot machine is taken back: the notice now, the end in so many seconds."""
        self._ask("interrupt", {"id": id, "seconds": seconds})

    def kill(self, id: str) -> None:
        """The machine dies without notice."""
        self._ask("kill", {"id": id})

    def reset(self) -> None:
        """As on the first day."""
        self._ask("reset")

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """All that ever were (see each cloud's `control.state`), or those in one of these states."""
        found: list[dict[str, Any]] = self._ask("state")["instances"]
        return [each for each in found if not states or each["state"] in states]

    @abstractmethod
    def calls(self, operation: str = "") -> int:
        """How often an operation, or any that makes or looks at machines, was asked for."""

    @abstractmethod
    def held(self, *, groups: bool = False) -> list[str]:
        """What costs money or was made for one run and is still there. `groups`: also what lasts and costs nothing."""

    def _ask(self, verb: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(asked or {}).encode()
        request = urllib.request.Request(f"{self.endpoint}/_control/{verb}", data, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            raise LookupError(json.loads(refused.read())["error"]) from None
        return found
