"""The server of `bench.many_runs`: all of it real but the machines' runners, which are on paper and report through the store."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from dstack_cloud.courier.errand import Errand, MachineStore
from dstack_cloud.domain.runs import Instance
from dstack_cloud.orchestrator.scheduler import Scheduler
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerState
from dstack_cloud.server.app import make_app
from dstack_cloud.server.wiring import wire
from dstack_cloud.services import runs
from dstack_cloud.ssh.endpoint import Trust
from dstack_cloud.storage import layout
from dstack_cloud.storage.base import Store

WORKFLOW = "workflows: [{name: train, provider: bash, commands: [echo hi], artifacts: [out], max_duration: 10m}]"
# seconds that a job runs
SHORTEST, LONGEST = 5.0, 25.0
NEW = RunnerState.of(
    {
        "seq": 1, "phase": "downloading", "attempt": "", "message": "", "exit_code": None, "reason": "", "log_size": 0,
        "log_complete": False, "outputs": [], "warnings": [], "started_at": None, "ended_at": None, "notice_at": None,
    }
)  # fmt: skip


class PaperRunner:
    """Satisfies what is used of a `RunnerLink`. One thread moves them all (`PaperRunners`)."""

    def __init__(self, instance: Instance, store: Store) -> None:
        self._instance, self._store = instance, store
        self._changed = threading.Condition()
        self._state = NEW
        self._closed = False
        self.submitted_at = 0.0

    def submit(self, job: dict[str, Any]) -> None:
        """The same again is no error."""
        self.submitted_at = self.submitted_at or time.monotonic()

    def state(self, after: int = -1, wait: float = 0.0) -> RunnerState:
        with self._changed:
            self._changed.wait_for(lambda: self._state.seq > after or self._closed, wait)
            if self._closed:
                raise LinkError("the machine is gone", unreachable=True)
            return self._state

    def log(self, offset: int = 0, follow: bool = False, patience: float | None = None) -> Iterator[bytes]:
        return iter(())

    def report(self, phase: str) -> None:
        """As a machine's own courier does: artifacts first, then the last word."""
        place = layout.AttemptPlace(self._instance.run_name, "train", self._instance.attempt)
        ended = phase == "finished"
        if ended:
            self._store.put(place.artifact("out/result"), b"x" * 1000)
        state = replace(
            self._state,
            seq=self._state.seq + 1,
            phase=phase,
            attempt=self._instance.id,
            exit_code=0 if ended else None,
            started_at=self._state.started_at or time.time(),
        )
        self._store.put(place.status, json.dumps(asdict(state)).encode())
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class PaperRunners:
    """Satisfies `world.Links`: every machine carries by itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._runners: dict[str, PaperRunner] = {}
        threading.Thread(target=self._live, daemon=True).start()

    def prepare(self, instance: Instance) -> str:
        return "#cloud-config\n"

    def open(self, instance: Instance) -> Any:
        with self._lock:
            return self._runners.setdefault(instance.id, PaperRunner(instance, self._store))

    def trust(self, instance: Instance) -> Trust:
        return Trust("", ())

    def carrier_of(self, instance: Instance) -> Literal["", "machine", "server"]:
        return "machine"

    def send_courier(self, instance: Instance, errand: Errand, store: MachineStore | None) -> bool:
        return True

    def forget(self, instance: Instance, *, keys: bool) -> None:
        with self._lock:
            runner = self._runners.pop(instance.id, None) if keys else None
        if runner is not None:
            runner.close()

    def sweep(self, alive: Callable[[], Collection[str]]) -> None:
        """There are no files."""

    def _live(self) -> None:
        while True:
            time.sleep(0.1)
            now = time.monotonic()
            with self._lock:
                known = [each for each in self._runners.values() if each.submitted_at]
            for place, runner in enumerate(known):
                phase = runner.state().phase
                life = SHORTEST + place % (LONGEST - SHORTEST)
                if phase == "downloading" and now - runner.submitted_at > 1.0:
                    runner.report("running")
                elif phase == "running" and now - runner.submitted_at > life:
                    runner.report("finished")


def main(home: Path, count: int) -> None:
    server = wire(home)
    make_app(server.context, home)  # what a server holds besides
    world = server.context.world
    links = PaperRunners(world.stores["main"])
    scheduler = Scheduler(replace(world, links=links))
    context = replace(server.context, world=scheduler.world)
    scheduler.start()
    request: Any = {
        "files": [{"path": ".dstack/workflows.yaml", "text": WORKFLOW}],
        **{
            "workflow": "train",
            "args": [],
            "variables": {},
            "env": {},
            "tag": "",
            "overrides": {},
            "code": None,
            "local_python": "3.11",
        },
    }
    for _ in range(count):
        runs.submit(context, "main", request)
    while world.database.jobs.unfinished() or world.database.instances.alive():
        time.sleep(0.2)
    scheduler.stop()
    views = runs.list_runs(context, "main", everything=True, last=None)
    launches = [instance for view in views for job in view["jobs"] for instance in job["instances"]]
    endings = [
        instance["wrong"] or instance["ending"] for instance in launches if instance["wrong"] or instance["ending"]
    ]
    told = {text: endings.count(text) for text in sorted(set(endings))}
    places = [instance["backend"] for instance in launches if instance["status"] == "terminated"]
    print(json.dumps({"statuses": [view["status"] for view in views], "endings": told, "backends": places}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
