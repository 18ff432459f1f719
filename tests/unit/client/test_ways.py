"""The entries for `ssh RUN`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from dstack_cloud.client.ways import Ways
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.endpoint import Endpoint, Jump, Trust

PLACE = Endpoint("me", "10.0.0.7", 2200)
MACHINE = Trust(keys.generate().private, (keys.generate().public,))


def understood(config: Path, name: str) -> dict[str, str]:
    """How the OpenSSH client reads it."""
    if shutil.which("ssh") is None:
        pytest.skip("no OpenSSH client here")
    text = subprocess.check_output(["ssh", "-F", str(config), "-G", name], text=True)
    return dict(line.split(" ", 1) for line in text.splitlines() if " " in line)


def test_both_names_lead_to_the_machine(tmp_path: Path) -> None:
    ways = Ways(tmp_path / "a home")
    ways.add(["shady-1.train", "shady-1"], PLACE, MACHINE)
    for name in ("shady-1", "shady-1.train"):
        read = understood(ways.config, name)
        assert (read["hostname"], read["port"], read["user"]) == ("10.0.0.7", "2200", "me")
        assert read["stricthostkeychecking"] == "true"
    assert understood(ways.config, "elsewhere")["hostname"] == "elsewhere"
    ways.close()


def test_nobody_else_can_read_the_keys(tmp_path: Path) -> None:
    ways = Ways(tmp_path)
    ways.add(["shady-1"], PLACE, MACHINE)
    assert (tmp_path / "ssh").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in ways.open_folder().iterdir()} == {0o600}
    ways.close()


def test_an_entry_goes_with_its_keys_and_others_stay(tmp_path: Path) -> None:
    ways = Ways(tmp_path)
    jump = Jump("ssh:me@10.0.0.1:22", MACHINE)
    ways.add(["shady-1"], PLACE, Trust(MACHINE.client_key, MACHINE.host_keys, (jump,)))
    ways.add(["shady-10"], PLACE, MACHINE)
    ways.remove("shady-1")
    assert {path.name for path in ways.open_folder().iterdir()} == {
        "lock",
        "shady-10.conf",
        "shady-10.key",
        "shady-10.hosts",
    }
    ways.close()
    assert not list(tmp_path.glob("ssh/*/"))


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    mine = Ways(tmp_path)
    mine.add(["shady-1"], PLACE, MACHINE)
    child = os.fork()
    if child == 0:
        Ways(tmp_path).add(["shady-2"], PLACE, MACHINE)
        signal.pause()
    while not (found := list(tmp_path.glob("ssh/*/shady-2.conf"))):
        os.sched_yield()
    left = found[0].parent
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert left.exists()
    other = Ways(tmp_path)
    other.open_folder()
    assert not left.exists()
    assert (mine.open_folder() / "shady-1.conf").exists()
    mine.close()
    other.close()


def test_the_hint_is_given_once_and_not_to_who_did_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    ways = Ways(tmp_path / ".dstack")
    ways.add(["shady-1"], PLACE, MACHINE)
    assert "`Include ~/.dstack/ssh/config`" in ways.hint()
    assert ways.hint() == ""
    ways.close()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Include ~/other/ssh/config\nHost x\n")
    other = Ways(tmp_path / "other")
    other.open_folder()
    assert other.hint() == ""
    other.close()
