"""systemd units of a machine. Pure."""

from __future__ import annotations

from dstack_cloud.runner_bootstrap.placement import MACHINE, Placement
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER

# A runner that was given no job by then ends, and its machine with it
IDLE_SECONDS = 600
# what the runner may take to kill its job when it is told to end
STOP_SECONDS = 60
# a machine that shuts down may come back; the command also runs after the runner's own end
SHUT_DOWN = """ExecStop=-/bin/sh -c 'if [ -n "$MAINPID" ] && [ "$(systemctl is-system-running)" = stopping ]; then kill -USR1 $MAINPID; fi'"""
POWEROFF = """ExecStopPost=/bin/sh -c 'if [ "$SERVICE_RESULT" = success ]; then systemctl poweroff --no-block; fi'"""


def serve(place: Placement) -> str:
    """The runner's command line."""
    return (
        f"{place.python} -I {place.program} serve --folder {place.folder} --socket {place.socket} "
        f"--idle-timeout {IDLE_SECONDS}{' --own-machine' if place.ephemeral else ''}"
    )


def carry(place: Placement) -> str:
    """The courier's command line."""
    return f"{place.python} -I {place.courier} {place.base}/library {place.base}/courier {place.private} {place.socket}"


def service(user: str = LOGIN_USER, place: Placement = MACHINE) -> str:
    """The runner's unit: it outlives the SSH session, comes back after a crash or reboot, and its end is an ephemeral machine's.

    It is active once the socket is there and belongs to `user`, who can then talk to it without being root.
    """
    wait = f"until [ -S {place.socket} ]; do sleep 0.02; done; chown {user} {place.socket}"
    return "\n".join(
        (
            "[Unit]",
            "Description=Runs one job and ends this machine" if place.ephemeral else "Description=Runs one job",
            "StartLimitIntervalSec=0",
            # stopped before it, so that an engine that goes doesn't pass for the job's end
            *([] if place.ephemeral else ["After=docker.service"]),
            "",
            "[Service]",
            f"ExecStart={serve(place)}",
            f'ExecStartPost=/bin/sh -c "{wait}"',
            # its end is the machine's, whether its job was collected or none came; a crash isn't an end
            *([POWEROFF, "RuntimeDirectory=dstack", "RuntimeDirectoryMode=0755"] if place.ephemeral else []),
            SHUT_DOWN,
            "TimeoutStartSec=60s",
            f"TimeoutStopSec={STOP_SECONDS}s",
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


def courier_service(user: str = LOGIN_USER, place: Placement = MACHINE) -> str:
    """The courier's unit. It ends when all is carried, and comes back until then."""
    return "\n".join(
        (
            "[Unit]",
            "Description=Carries a job's inputs and outputs between its runner and the object store",
            "StartLimitIntervalSec=0",
            "Wants=network-online.target",
            f"After=network-online.target {place.unit}",
            "",
            "[Service]",
            f"ExecStart={carry(place)}",
            *([f"User={user}"] if place.ephemeral else []),
            "Restart=on-failure",
            "RestartSec=1s",
            "OOMScoreAdjust=-400",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        )
    )
