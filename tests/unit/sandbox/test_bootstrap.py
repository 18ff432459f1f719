from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.courier.errand import Errand, MachineStore
from dstack_cloud.courier.shipping import ship
from dstack_cloud.runner_bootstrap import install, units
from dstack_cloud.runner_bootstrap.placement import MACHINE, lease
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, timer, user_data

KEY = install.HostKey("HOST PRIVATE", "ssh-ed25519 NEW")
ERRAND = Errand("a-1", "shady-1", "train", 1, "train")
STORE = MachineStore("s3://b", {}, {"secret_access_key": "hush"})


def document(seconds: int = 900, ending: str = "") -> dict[str, Any]:
    text = user_data(
        host_private="HOST PRIVATE", host_public="ssh-ed25519 HOST", client_public="ssh-ed25519 CLIENT", user="me",
        dead_man_seconds=seconds, ending=ending,
    )  # fmt: skip
    assert text.startswith("#cloud-config\n")
    return dict(json.loads(text.partition("\n")[2]))


def test_user_data_brings_the_host_key_and_lets_one_key_in() -> None:
    made = document()
    assert made["ssh_keys"] == {"ed25519_private": "HOST PRIVATE", "ed25519_public": "ssh-ed25519 HOST"}
    assert made["ssh_pwauth"] is False
    (user,) = made["users"]
    assert (user["name"], user["ssh_authorized_keys"], user["lock_passwd"]) == ("me", ["ssh-ed25519 CLIENT"], True)


def test_googles_agent_is_told_once_to_leave_the_host_key(tmp_path: Path) -> None:
    script = document()["bootcmd"][1][2].replace("/etc/default", str(tmp_path))
    for _ in range(2):
        subprocess.run(["sh", "-c", script], check=True)
    assert (tmp_path / "instance_configs.cfg").read_text() == "[InstanceSetup]\nset_host_keys = false\n"


def test_the_dead_man_is_armed_in_the_earliest_stage() -> None:
    made = document(seconds=1234)
    script = made["bootcmd"][0][2]
    assert "OnActiveSec=1234s" in script
    assert script.endswith("systemctl start --no-block dstack-deadman.timer")


def test_where_a_poweroff_is_not_the_end_the_machine_deletes_itself_first() -> None:
    assert "ending" not in document()["bootcmd"][0][2]
    script = document(ending="#!/bin/sh\necho 'deleted'")["bootcmd"][0][2]
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert "cat >/usr/local/sbin/dstack-ending <<'END_OF_FILE'\n#!/bin/sh\necho 'deleted'\nEND_OF_FILE\n" in script
    by_timer = script.index("ExecStart=-/usr/bin/timeout 60 /usr/local/sbin/dstack-ending")
    assert by_timer < script.index("ExecStart=/bin/systemctl poweroff")
    assert "systemctl start --no-block dstack-ending.service\n" in script


def test_a_deadline_holds_by_the_clock_and_without_it() -> None:
    unit = timer(60, "2030-01-02 03:04:05 UTC")
    assert "OnActiveSec=60s\n" in unit
    assert "OnCalendar=2030-01-02 03:04:05 UTC\nPersistent=true\n" in unit


def test_shells_accept_what_is_sent() -> None:
    script = document()["bootcmd"][0][2]
    texts = [script, document(ending="exit 0")["bootcmd"][0][2]]
    for place in (MACHINE, lease("/home/me/leases/k-1")):
        step = install.install(seconds=60, host_key=KEY, gpus=True, place=place)
        texts += [step.command, install.connect_command(place), ship(ERRAND, STORE, b"", place=place).command]
    for text in texts:
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        # the script is quoted within the command
        for inner in shlex.split(text) if text.startswith("if ") else []:
            subprocess.run(["sh", "-n"], input=inner if "\n" in inner else "", text=True, check=True)


def test_the_socket_is_given_to_the_login_user() -> None:
    assert f"chown {LOGIN_USER} {MACHINE.socket}" in units.service()
    assert "chown someone " in units.service("someone")


def test_only_an_ephemeral_machine_ends_with_its_runner() -> None:
    place = lease("/var/lib/leases/k-1")
    assert "poweroff" in units.service()
    assert "poweroff" not in install.install(seconds=60, place=place).command
    assert (place.unit, place.courier_unit) == ("dstack-runner-k-1.service", "dstack-courier-k-1.service")


def test_of_a_machine_that_goes_for_good_the_rest_is_carried_before_anything_else_stops() -> None:
    runner, courier = units.service(), units.courier_service()
    assert "After=docker.service dstack-ending.service\n" in runner
    assert f"nss-lookup.target {MACHINE.unit}\n" in courier
    assert "-s USR2 dstack-runner.service; then while kill -0 $MAINPID" in courier
    kept = lease("/var/lib/leases/k-1")
    assert "USR2" not in units.service(place=kept) + units.courier_service(place=kept)


def test_nothing_secret_is_in_a_command() -> None:
    """Arguments are seen by every user of a machine; what is read from the standard input isn't."""
    step = install.install(seconds=60, host_key=KEY)
    assert KEY.private not in step.command
    assert step.stdin.startswith(KEY.private.encode())
    shipped = ship(ERRAND, STORE, b"")
    assert "hush" not in shipped.command
    assert b"hush" in shipped.stdin
    assert "hush" not in repr(shipped)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_deadlines_calendar(tmp_path: Path) -> None:
    subprocess.run(["systemd-analyze", "calendar", "2030-01-02 03:04:05 UTC"], check=True, capture_output=True)
