from __future__ import annotations

import shlex

from dstack_cloud.providers.base import IMAGE_FIELDS, PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path, words
from dstack_cloud.providers.shell import LISTEN, PYTHON, installed, line, python_first

PACKAGE = "ray[default]"
# the dashboard's port may be any, so that workers have none of their own range
_RAY = f"{PYTHON} -m ray.scripts.scripts start --block --disable-usage-stats --min-worker-port=0 --max-worker-port=0"
# all nodes end at the same time: none waits for another to take its work
_AT_ONCE = "export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0"
_FREE_PORTS = """\
import socket
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in free))"""

# until all nodes have joined, while the first one's Ray (a process of this machine) lives
GATHER = """\
import os, socket, sys, time
address, wanted, process = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
host, port = address.rsplit(":", 1)
until = time.monotonic() + 600
while True:
    try: socket.create_connection((host, int(port)), 5).close(); break
    except OSError: pass
    try: os.kill(process, 0)
    except OSError: sys.exit("error: Ray ended before it answered")
    if time.monotonic() > until: sys.exit(f"error: Ray doesn't answer at {address}")
    time.sleep(0.2)
import ray
ray.init(address=address, logging_level="ERROR", log_to_driver=False)
while (joined := sum(node["Alive"] for node in ray.nodes())) < wanted:
    if time.monotonic() > until: sys.exit(f"error: after 10 minutes {joined} of {wanted} nodes have joined")
    time.sleep(0.5)
"""

# a node that isn't the first: it ends well when the first one's Ray is gone, and badly when its own ends before
JOIN = """\
import socket, subprocess, sys, time
address, command = sys.argv[1], sys.argv[2:]
host, port = address.rsplit(":", 1)
def answers():
    try: socket.create_connection((host, int(port)), 5).close(); return True
    except OSError: return False
until = time.monotonic() + 600
while not answers():
    if time.monotonic() > until: sys.exit(f"error: after 10 minutes no Ray answers at {address}")
    time.sleep(1)
node = subprocess.Popen(command, stdout=subprocess.DEVNULL)
misses = 0
while misses < 3:
    time.sleep(1)
    misses = 0 if answers() else misses + 1
    if node.poll() is not None and not misses:
        time.sleep(10)
        if answers(): sys.exit("error: Ray ended on this node, and the first one's goes on")
node.terminate()
node.wait()
"""


class Ray(Provider):
    """A script, or commands, on a Ray cluster of one machine or of several (`nodes`)."""

    name = "ray"
    example = "file: train.py\nargs: --trials 20\nrequirements: requirements.txt\nnodes: 2"
    takes = ("commands", "nodes", *IMAGE_FIELDS)
    port = 8265
    synonyms = PYTHON_SYNONYMS

    file: str | None = path(
        "The script to run on the first node, relative to `working_dir`; or `commands`.",
        default=None,
        also=("script",),
        must_exist=True,
    )
    args: tuple[str, ...] = words("Its arguments: a list, or one string that is split as a shell does.", default=())
    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        packages = installed(self.requirements, [PACKAGE])
        begin = self._alone(given.port) if given.nodes == 1 else self._together(given.port)
        commands = (_AT_ONCE, *python_first(given.port), *begin, *self._work(given))
        return Program(commands, given.image, installs=True, setup=packages)

    def _work(self, given: Given) -> tuple[str, ...]:
        if self.file is None and not given.commands:
            raise ValueError("it has neither `file` nor `commands`")
        if self.file is None and self.args:
            raise ValueError("`args` are for a `file`, and there is none")
        if self.file is not None and given.commands:
            raise ValueError("it has both `file` and `commands`: keep one of them")
        return given.commands if self.file is None else (line(PYTHON, rest=(self.file, *self.args)),)

    def _alone(self, port: int) -> tuple[str, ...]:
        """Others of the same computer may run, too: each at ports that are free."""
        own = '--ray-client-server-port="${ray_ports#* }" --dashboard-agent-listen-port=0'
        free = f"ray_ports=$({PYTHON} -c {shlex.quote(_FREE_PORTS)})"
        return free, 'export RAY_ADDRESS="127.0.0.1:${ray_ports% *}"', _head(port, "1", own)

    def _together(self, port: int) -> tuple[str, ...]:
        own = '--node-ip-address="$(sed -n "$((DSTACK_NODE_RANK + 1))p" <<<"$DSTACK_NODES_IPS")"'
        join = f'{PYTHON} -c {shlex.quote(JOIN)} "$RAY_ADDRESS" {_RAY} --address="$RAY_ADDRESS" {own}'
        return (
            'export RAY_ADDRESS="$MASTER_ADDR:$MASTER_PORT"',
            f'if [ "$DSTACK_NODE_RANK" != 0 ]; then {join}; exit; fi',
            _head(port, '"$DSTACK_NODES_NUM"'),
        )


def _head(port: int, nodes: str, options: str = "") -> str:
    """Ray's sockets need a short path. What it says is shown when it doesn't come to life."""
    place = '--node-ip-address="${RAY_ADDRESS%:*}" --port="${RAY_ADDRESS##*:}" --temp-dir="$ray_folder"'
    dashboard = f"--dashboard-host={LISTEN} --dashboard-port={port}"
    return f"""\
ray_folder=$(mktemp -d /tmp/ray-XXXXXX)
{_RAY} --head {place} {dashboard} {options} >"$ray_folder/said" 2>&1 &
ray_head=$!
trap '{{ kill "$ray_head"; wait "$ray_head"; }} 2>/dev/null || :; rm -rf "$ray_folder"' EXIT
{PYTHON} -c {shlex.quote(GATHER)} "$RAY_ADDRESS" {nodes} "$ray_head" || {{ tail -n 20 "$ray_folder/said" >&2; exit 1; }}"""
