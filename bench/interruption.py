"""What a machine that is taken away costs: `.venv/bin/python -m bench.interruption`.

The sandbox plays the cloud: a notice and an end thirty seconds later over a link of 100 Mbit/s, or a death without a word.
The job itself says when it was signalled; what is in the store is seen in the store's folder.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import time
from typing import Any

from bench.harness import Figure, Place, place, show
from dstack_cloud.client import Client

ROUNDS = 3
LIMIT_SECONDS = 180.0
NOTICE_SECONDS = 30.0
LINK_BITS = 100e6
MEGABYTES = 100
WORKFLOWS = f"""
workflows:
  - name: train
    provider: bash
    commands:
      - trap 'date +"signalled at %s.%N"; exit 143' TERM
      - mkdir -p out
      - if [ -f out/weights ]; then echo restored; exit 0; fi
      - head -c {MEGABYTES}000000 /dev/urandom > out/weights
      - echo ready
      # `wait` ends at once when the signal comes
      - while true; do sleep 0.05; done
    artifacts: [out]
    resources:
      spot_policy: spot
"""


def wait_for(look: Any, what: str) -> Any:
    deadline = time.time() + LIMIT_SECONDS
    while time.time() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise SystemExit(f"waited in vain for {what}")


def begun(here: Place, client: Client) -> str:
    """A run whose job has written its artifacts and waits."""
    name = here.call("run", "train", "--backend", "sandbox", "--spot", "-d").split()[-1]
    wait_for(lambda: "ready" in here.call("logs", name), "the job")
    return name


def ended(client: Client, name: str) -> None:
    wait_for(lambda: client.run(name)["status"] in ("done", "failed", "stopped", "aborted"), "the end")
    if (run := client.run(name))["status"] != "done":
        raise SystemExit(f"{name} ended as {run['status']}: {run['jobs'][0]['message']}")


def noticed(here: Place, client: Client) -> tuple[float, float]:
    """Seconds from the notice to the job's SIGTERM, and to the last artifact in the store."""
    name = begun(here, client)
    client.inflict(name, "slow-network", LINK_BITS)
    at = time.time()
    client.inflict(name, "interrupt", NOTICE_SECONDS)
    saved = wait_for(lambda: [save["saved_at"] for save in client.saves(name) if save["size"]], "the artifacts")[0]
    ended(client, name)
    signalled = re.search(r"signalled at ([\d.]+)", here.call("logs", name))
    if signalled is None or "restored" not in here.call("logs", name):
        raise SystemExit("the job wasn't signalled, or found nothing restored:\n" + here.call("logs", name))
    return float(signalled[1]) - at, saved - at


def died(here: Place, client: Client) -> float:
    """Seconds from an unannounced death to the next machine's launch."""
    name = begun(here, client)
    at = time.time()
    client.inflict(name, "kill", 0.0)

    def second() -> float:
        machines = client.run(name)["jobs"][0]["instances"]
        return float(machines[1]["created_at"]) if len(machines) > 1 else 0.0

    moment = wait_for(second, "the second machine")
    here.call("stop", name, "--abort", "-y")
    wait_for(lambda: client.run(name)["finished_at"], "the end")
    return float(moment) - at


def main() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "version"], capture_output=True).returncode:
        print("no Docker engine answers: nothing is measured")
        return
    with place(WORKFLOWS) as here:
        here.call("server", "start")
        client = Client(here.home)
        notices = [noticed(here, client) for _ in range(ROUNDS)]
        deaths = [died(here, client) for _ in range(ROUNDS)]
    wire = MEGABYTES * 8e6 / LINK_BITS
    show(
        [
            Figure("interruption notice → SIGTERM", statistics.median(n[0] for n in notices), 3.0, "s"),
            Figure(
                f"notice → {MEGABYTES} MB of artifacts in the store, at 100 Mbit/s",
                statistics.median(n[1] for n in notices),
                NOTICE_SECONDS,
                "s",
                f"the link alone: {wire:.0f} s",
            ),
            Figure("unannounced death → resubmission", statistics.median(deaths), 30.0, "s"),
        ]
    )


if __name__ == "__main__":
    main()
