"""Many runs at once on an emulated AWS whose machines have no bodies: `.venv/bin/python -m bench.many_runs [RUNS]`.

The server's own process, with its real orchestrator, AWS backend, database and store; only the way to the runners is replaced
(`bench.paper_runners`). It is measured from outside: the calls that the emulator counted, the process's memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.harness import PYTHON, ROOT, Figure, show
from tests.fakes.aws import ACCESS_KEY, REGION, SECRET_KEY, MotoCloud

RUNS = 300
LIMIT_SECONDS = 560.0
CALLS_A_SECOND, MEMORY_MB = 5.0, 300.0
# calls are counted over windows of so many seconds: a look at the counters isn't on time to the millisecond
WINDOW = 5.0
# so often AWS says that it is too much, and that it has no capacity
THROTTLED, FULL = 6, 30
CONFIGURATION = f"""
projects:
  main:
    backends: [aws]
    settings:
      aws: {{endpoint: "%s", regions: [{REGION}], instance_types: [m5.large, c5.large], ssh_from: [192.0.2.1/32]}}
"""


@dataclass
class Watch:
    """What was seen while the server worked. `calls`: (moment, all calls to EC2 so far)."""

    seconds: float = 0.0
    memory: float = 0.0
    calls: list[tuple[float, int]] = field(default_factory=list)

    @property
    def busiest(self) -> float:
        """Calls a second in the busiest window."""
        rates = [0.0]
        for start, before in self.calls:
            later = [(moment, count) for moment, count in self.calls if moment >= start + WINDOW]
            if later:
                rates.append((later[0][1] - before) / (later[0][0] - start))
        return max(rates)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with MotoCloud() as cloud, tempfile.TemporaryDirectory(prefix="dstack-bench-") as folder:
        cloud.set(boot_delay=3.0)
        cloud.fail("RunInstances", "RequestLimitExceeded", times=THROTTLED)
        cloud.fail("RunInstances", "InsufficientInstanceCapacity", times=FULL)
        server = start(Path(folder), cloud, runs)
        try:
            watch, report = follow(server, cloud.calls)
        finally:
            server.kill()
            server.wait()
        show(figures(runs, watch, report, cloud))
        print(f"endings: {report['endings']}; calls: {cloud_calls(cloud)}")


def start(home: Path, cloud: MotoCloud, runs: int) -> subprocess.Popen[bytes]:
    """The server, which submits its runs itself and says at the end what became of them."""
    (home / "config.yaml").write_text(CONFIGURATION % cloud.endpoint)
    (home / ".aws").mkdir()
    keys = f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    (home / ".aws" / "credentials").write_text(keys)
    return launch(home, runs, HOME=str(home))


def launch(home: Path, runs: int, **variables: str) -> subprocess.Popen[bytes]:
    """The server of a state folder that has its configuration."""
    environment = {**os.environ, "DSTACK_HOME": str(home), **variables}
    command = [PYTHON, "-m", "bench.paper_runners", str(home), str(runs)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


def follow(server: subprocess.Popen[bytes], calls: Callable[[], int]) -> tuple[Watch, dict[str, Any]]:
    watch, began = Watch(), time.monotonic()
    while server.poll() is None:
        if time.monotonic() - began > LIMIT_SECONDS:
            raise SystemExit(f"not at its end after {LIMIT_SECONDS:.0f} s and {calls()} calls")
        watch.calls.append((time.monotonic(), calls()))
        watch.memory = max(watch.memory, memory_of(server.pid))
        time.sleep(0.5)
    watch.seconds = time.monotonic() - began
    assert server.stdout is not None
    return watch, json.loads(server.stdout.read())


def memory_of(pid: int) -> float:
    """Resident MB; 0 where it has just ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) / 1000 if lines else 0.0


def cloud_calls(cloud: MotoCloud) -> dict[str, int]:
    names = ("RunInstances", "DescribeInstances", "TerminateInstances")
    return {**{name: cloud.calls(name) for name in names}, "all": cloud.calls()}


def figures(runs: int, watch: Watch, report: dict[str, Any], cloud: MotoCloud) -> list[Figure]:
    statuses = Counter(report["statuses"])
    per_run = cloud.calls() / runs
    return [
        Figure("runs that aren't done", runs - statuses["done"], 0, "", f"{runs} at once, in {watch.seconds:.0f} s"),
        Figure("EC2 calls a second, busiest", watch.busiest, CALLS_A_SECOND, "/s", f"{per_run:.1f} calls a run"),
        Figure(
            "server's memory", watch.memory, MEMORY_MB, "MB", f"{THROTTLED} calls throttled, {FULL} without capacity"
        ),
        Figure("left at the emulator", len(cloud.held()), 0, "", "instances, volumes, interfaces, keys"),
        Figure("groups", len(cloud.held(groups=True)), 1, "", "one lasting group a VPC"),
    ]


if __name__ == "__main__":
    main()
