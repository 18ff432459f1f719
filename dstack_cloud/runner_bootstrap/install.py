"""How the runner gets onto a machine: one command over SSH that reads the program from its standard input. Pure."""

from __future__ import annotations

import shlex

from dstack_cloud.runner_bootstrap.user_data import DEAD_MAN, LOGIN_USER, UNITS, timer

PROGRAM = "/opt/dstack/runner.pyz"
FOLDER = "/var/lib/dstack/runner"
SOCKET = "/run/dstack/runner.sock"
UNIT = "dstack-runner.service"
# A runner that was given no job by then ends, and its machine with it
IDLE_SECONDS = 600


def service(user: str = LOGIN_USER) -> str:
    """The runner's unit: it outlives the SSH session, comes back after a crash or reboot, and its end ends the machine.

    It is active once the socket is there and belongs to `user`, who can then talk to it without being root.
    """
    serve = f"/usr/bin/python3 -I {PROGRAM} serve --folder {FOLDER} --socket {SOCKET} --idle-timeout {IDLE_SECONDS}"
    wait = f"until [ -S {SOCKET} ]; do sleep 0.02; done; chown {user} {SOCKET}"
    return "\n".join(
        (
            "[Unit]",
            "Description=Runs one job and ends this machine",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            f"ExecStart={serve}",
            f'ExecStartPost=/bin/sh -c "{wait}"',
            # its end is the machine's, whether its job was collected or none came; a crash isn't an end
            """ExecStopPost=/bin/sh -c 'if [ "$SERVICE_RESULT" = success ]; then systemctl poweroff --no-block; fi'""",
            "RuntimeDirectory=dstack",
            "RuntimeDirectoryMode=0755",
            "TimeoutStartSec=60s",
            "Restart=on-failure",
            "RestartSec=1s",
            # the job's processes aren't the unit's: a runner that crashed finds them again when it is back
            "KillMode=process",
            "OOMPolicy=continue",
            "OOMScoreAdjust=-500",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        )
    )


def install_command(*, seconds: int, user: str = LOGIN_USER) -> str:
    """The command whose standard input is the program; twice does no harm. `seconds` is until the dead man ends the machine.

    It is over when the runner's socket can be connected to.
    """
    deadline = f"deadline=$(date -u -d \"@$(($(date +%s) + {seconds}))\" '+%Y-%m-%d %H:%M:%S UTC')"
    script = "\n".join(
        (
            "set -eu",
            f"mkdir -p {PROGRAM.rpartition('/')[0]}",
            f"install -d -m 700 {FOLDER}",
            # a runner that is there keeps running with the program that it started with
            f"cat >{PROGRAM}.new; chmod 644 {PROGRAM}.new; mv {PROGRAM}.new {PROGRAM}",
            _write(f"{UNITS}/{UNIT}", service(user)),
            deadline,
            _write(f"{UNITS}/{DEAD_MAN}.timer", timer(seconds, "$deadline"), expand=True),
            f"mkdir -p {UNITS}/multi-user.target.wants; ln -sf {UNITS}/{UNIT} {UNITS}/multi-user.target.wants/",
            "systemctl daemon-reload",
            f"systemctl restart {DEAD_MAN}.timer",
            f"systemctl start {UNIT} || {{ journalctl -u {UNIT} -n 20 --no-pager >&2; exit 1; }}",
        )
    )
    return f"sudo -n sh -c {shlex.quote(script)}"


def connect_command() -> str:
    """The command that joins its standard input and output to the runner's socket."""
    return f"exec /usr/bin/python3 -I {PROGRAM} connect --socket {SOCKET}"


def _write(path: str, text: str, *, expand: bool = False) -> str:
    """A shell line that writes a file; `$name` in it is replaced where `expand`."""
    mark = "END" if expand else "'END'"
    return f"cat >{path} <<{mark}\n{text}END"
