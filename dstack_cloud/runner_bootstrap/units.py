"""systemd units of a machine. Pure."""

from __future__ import annotations

from dstack_cloud.runner_bootstrap.placement import MACHINE, Placement
from dstack_cloud.runner_bootstrap.user_data import ENDING, LOGIN_USER, STOPS_FOR_GOOD

# A runner that was given no job by then ends, and its machine with it
IDLE_SECONDS = 600
# what the runner may take to kill its job when it is told to end
STOP_SECONDS = 60
SHUTS_DOWN = "[ $(systemctl is-system-running) = stopping ]"
# a machine that may come back keeps on its disk what is owed; of one that goes for good it is collected first
LEAVE = f'ExecStop=-/bin/sh -c "if [ $MAINPID ] && {SHUTS_DOWN}; then kill -USR1 $MAINPID; fi"'
LEAVE_FOR_GOOD = (
    f'ExecStop=-/bin/sh -c "if [ $MAINPID ] && {SHUTS_DOWN}; '
    f'then if {STOPS_FOR_GOOD}; then kill -USR2 $MAINPID; else kill -USR1 $MAINPID; fi; fi"'
)
# stopped before the runner, so it is the courier's unit that tells it, and waits for all to be carried. A cloud may shut the machine
# down with its notice: https://cloud.google.com/compute/docs/instances/spot#preemption-process
CARRY_THE_REST = (
    f'ExecStop=-+/bin/sh -c "if {SHUTS_DOWN} && {STOPS_FOR_GOOD} && systemctl kill --kill-who=main -s USR2 {{unit}}; '
    'then while kill -0 $MAINPID; do sleep 0.1; done 2>/dev/null; fi"'
)
# also runs after the runner's own end
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
            # stopped before them, so that an engine that goes doesn't pass for the job's end, and the machine isn't deleted before it
            f"After=docker.service{f' {ENDING}.service' if place.ephemeral else ''}",
            "",
            "[Service]",
            f"ExecStart={serve(place)}",
            f'ExecStartPost=/bin/sh -c "{wait}"',
            # its end is the machine's, whether its job was collected or none came; a crash isn't an end
            *([POWEROFF, "RuntimeDirectory=dstack", "RuntimeDirectoryMode=0755"] if place.ephemeral else []),
            LEAVE_FOR_GOOD if place.ephemeral else LEAVE,
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
            f"After=network-online.target nss-lookup.target {place.unit}",
            "",
            "[Service]",
            f"ExecStart={carry(place)}",
            *([f"User={user}", CARRY_THE_REST.format(unit=place.unit)] if place.ephemeral else []),
            f"TimeoutStopSec={STOP_SECONDS}s",
            "Restart=on-failure",
            "RestartSec=1s",
            "OOMScoreAdjust=-400",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        )
    )
