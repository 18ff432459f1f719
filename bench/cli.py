"""The command line itself: `.venv/bin/python -m bench.cli`."""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import time

from bench.harness import DSTACK, PYTHON, Figure, Place, median, paired, place, show

ROUNDS = 20
START_ROUNDS = 7
START_LIMIT_SECONDS = 30.0
# the kernel counts a process's time in hundredths of a second: 0.05 % of this
IDLE_SECONDS = 20.0
WORKFLOWS = "workflows:\n  - {name: hi, provider: bash, commands: [echo hi]}\n"


def main() -> None:
    with place(WORKFLOWS, DSTACK_LOCAL_MODE="process") as here:
        figures = [*starting(here), *listing(here)]
        figures += serving(here)
    show(figures)


def starting(here: Place) -> list[Figure]:
    def run(*command: str) -> None:
        subprocess.run(command, env=here.environment, stdout=subprocess.DEVNULL, check=True)

    def nothing() -> None:
        run(PYTHON, "-c", "pass")

    version = paired(lambda: run(DSTACK, "--version"), nothing, ROUNDS)
    usage = paired(lambda: run(DSTACK, "--help"), nothing, ROUNDS)
    return [
        Figure("`dstack --version` / `python -c pass`", version.ratio, 8, "×", str(version)),
        Figure("`dstack --help` / `python -c pass`", usage.ratio, 20, "×", str(usage)),
    ]


def listing(here: Place) -> list[Figure]:
    here.call("run", "hi")
    seconds = median(lambda: here.call("ps"), ROUNDS)
    return [
        Figure("`dstack ps`, server warm", seconds, 0.2, "s"),
        Figure("`dstack ps`, peak memory", peak_memory(here, "ps"), 40, "MiB"),
    ]


def peak_memory(here: Place, *arguments: str) -> float:
    """MiB of the process at its largest."""
    pid = os.posix_spawn(
        DSTACK,
        [DSTACK, *arguments],
        here.environment,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_maxrss / 1024


def serving(here: Place) -> list[Figure]:
    """The server on the database that the steps before left."""
    here.call("server", "stop")
    seconds = [ready(here) for _ in range(START_ROUNDS)]
    process = serve(here)
    try:
        wait_until_ready(here)
        before = cpu_seconds(process.pid)
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(process.pid) - before) / IDLE_SECONDS * 100
        memory = resident(process.pid)
    finally:
        process.terminate()
        process.wait()
    return [
        Figure("server ready, existing database", statistics.median(seconds), 0.8, "s", "process start → first answer"),
        Figure("server memory, idle", memory, 110, "MiB"),
        Figure("server CPU, idle", share, 0.3, "%", f"over {IDLE_SECONDS:.0f} s"),
    ]


def serve(here: Place) -> subprocess.Popen[bytes]:
    command = [PYTHON, "-m", "dstack_cloud.server"]
    return subprocess.Popen(command, env=here.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ready(here: Place) -> float:
    """Seconds from starting the server to its first answer."""
    start = time.perf_counter()
    process = serve(here)
    try:
        wait_until_ready(here)
        return time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def wait_until_ready(here: Place) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while not answers(str(here.home / "server.sock")):
        if time.monotonic() > deadline:
            raise SystemExit("the server didn't start")
        time.sleep(0.002)


def answers(path: str) -> bool:
    connection = http.client.HTTPConnection("dstack")
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(path)
        connection.request("GET", "/api/server")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB in memory now."""
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
