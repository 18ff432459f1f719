"""Many runs at once over three emulated clouds that fail in one call of twenty: `.venv/bin/python -m bench.many_clouds [RUNS]`.

As `bench.many_runs`, with all three backends, and no backend named: each cloud's quota has room for a part of the runs only.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bench.harness import Figure, show
from bench.many_runs import MEMORY_MB, RUNS, Watch, follow, launch
from tests.fakes.clouds import NAMES, Clouds

# of all calls: refused before their effect, after it, and as too many
BEFORE, AFTER, THROTTLED = 0.02, 0.02, 0.01
# of those that make a machine: there is no capacity for it
FULL = 0.05
# in each cloud for so many of the runs, machines of two CPUs each
ROOM = 0.4


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with Clouds() as clouds, tempfile.TemporaryDirectory(prefix="dstack-bench-") as folder:
        home = Path(folder) / "home"
        configure(clouds, home, Path(folder) / "person")
        limit(clouds, int(runs * ROOM) * 2)
        break_now_and_then(clouds)
        server = launch(home, runs, HOME=str(Path(folder) / "person"))
        try:
            watch, report = follow(server, lambda: sum(cloud.calls() for cloud in clouds.each.values()))
        finally:
            server.kill()
            server.wait()
        show(figures(runs, watch, report, clouds))
        print(f"endings: {report['endings']}")


def configure(clouds: Clouds, home: Path, person: Path) -> None:
    home.mkdir()
    (home / "config.yaml").write_text(json.dumps({"projects": {"main": clouds.project(person)}}))


def limit(clouds: Clouds, cpus: int) -> None:
    clouds.aws.set(vcpus=cpus, boot_delay=3.0)
    clouds.gcp.set(quotas={"CPUS": cpus, "N2_CPUS": 0, "CPUS_ALL_REGIONS": cpus}, boot_delay=3.0)
    clouds.azure.set(cores=cpus, family_cores=cpus)


def break_now_and_then(clouds: Clouds) -> None:
    clouds.aws.fail("RunInstances", "InsufficientInstanceCapacity", share=FULL)
    clouds.gcp.fail("instances.insert", "ZONE_RESOURCE_POOL_EXHAUSTED", share=FULL)
    clouds.azure.fail("virtual_machines.create_or_update", "AllocationFailed", later=True, share=FULL)
    codes = {
        "aws": ("InternalError", "RequestLimitExceeded"),
        "gcp": ("backendError", "rateLimitExceeded"),
        "azure": ("InternalServerError", "TooManyRequests"),
    }
    for name, (failed, too_many) in codes.items():
        cloud = clouds.each[name]
        cloud.fail("*", failed, share=BEFORE)
        cloud.fail("*", failed, after=True, share=AFTER)
        cloud.fail("*", too_many, share=THROTTLED)


def figures(runs: int, watch: Watch, report: dict[str, Any], clouds: Clouds) -> list[Figure]:
    statuses = Counter(report["statuses"])
    places = Counter(report["backends"])
    where = ", ".join(f"{name} {places[name]}" for name in NAMES)
    calls = sum(cloud.calls() for cloud in clouds.each.values())
    return [
        Figure("runs that aren't done", runs - statuses["done"], 0, "", f"{runs} at once, in {watch.seconds:.0f} s"),
        Figure("clouds that ran none", len(set(NAMES) - set(places)), 0, "", f"machines: {where}; {calls} calls"),
        Figure("server's memory", watch.memory, MEMORY_MB * 1.5, "MB", "with the SDKs of three clouds"),
        Figure("left at the emulators", len(clouds.held()), 0, "", "; ".join(clouds.held()[:3])),
    ]


if __name__ == "__main__":
    main()
