from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dstack_cloud.runner_bootstrap import install
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, timer, user_data


def document(seconds: int = 900) -> dict[str, Any]:
    text = user_data(
        host_private="HOST PRIVATE", host_public="ssh-ed25519 HOST", client_public="ssh-ed25519 CLIENT", user="me",
        dead_man_seconds=seconds,
    )  # fmt: skip
    assert text.startswith("#cloud-config\n")
    return dict(json.loads(text.partition("\n")[2]))


def test_user_data_brings_the_host_key_and_lets_one_key_in() -> None:
    made = document()
    assert made["ssh_keys"] == {"ed25519_private": "HOST PRIVATE", "ed25519_public": "ssh-ed25519 HOST"}
    assert made["ssh_pwauth"] is False
    (user,) = made["users"]
    assert (user["name"], user["ssh_authorized_keys"], user["lock_passwd"]) == ("me", ["ssh-ed25519 CLIENT"], True)


def test_the_dead_man_is_armed_in_the_earliest_stage() -> None:
    made = document(seconds=1234)
    script = made["bootcmd"][0][2]
    assert "OnActiveSec=1234s" in script
    assert script.endswith("systemctl start --no-block dstack-deadman.timer")


def test_a_deadline_holds_by_the_clock_and_without_it() -> None:
    unit = timer(60, "2030-01-02 03:04:05 UTC")
    assert "OnActiveSec=60s\n" in unit
    assert "OnCalendar=2030-01-02 03:04:05 UTC\nPersistent=true\n" in unit


def test_shells_accept_what_is_sent() -> None:
    script = document()["bootcmd"][0][2]
    for text in (script, install.install_command(seconds=60), install.connect_command()):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_the_socket_is_given_to_the_login_user() -> None:
    assert f"chown {LOGIN_USER} {install.SOCKET}" in install.service()
    assert "chown someone " in install.service("someone")


def test_nothing_secret_can_be_in_the_install_command() -> None:
    assert install.install_command(seconds=60) == install.install_command(seconds=60)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_deadlines_calendar(tmp_path: Path) -> None:
    subprocess.run(["systemd-analyze", "calendar", "2030-01-02 03:04:05 UTC"], check=True, capture_output=True)
