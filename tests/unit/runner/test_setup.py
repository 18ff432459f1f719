"""A runner makes what a job's setup says, and keeps it for later jobs of its machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import process_setup
from tests.unit.runner.rig import Rig, alive, tar_of, until

TOOL = "printf '#!'$VIRTUAL_ENV'/bin/python\\nprint(\"a tool\")\\n' > $VIRTUAL_ENV/bin/tool; chmod +x $VIRTUAL_ENV/bin/tool"


@pytest.fixture
def kept(rig: Rig) -> Path:
    rig.start("--setups", str(rig.base / "kept"))
    return rig.base / "kept"


def again(rig: Rig) -> None:
    """The same machine's next runner."""
    rig.end()
    rig.folder = rig.base / "next"
    rig.start("--setups", str(rig.base / "kept"))


def test_what_says_where_it_lies_is_right_for_each_job(rig: Rig, kept: Path) -> None:
    for _ in range(2):
        state = rig.run("head -1 $VIRTUAL_ENV/bin/tool", "tool", setup=[TOOL])
        assert (state.exit_code, state.reason) == (0, "")
        assert rig.log().endswith(f"#!{rig.folder}/python/bin/python\na tool\n".encode())
        again(rig)


def test_a_job_that_installs_more_changes_nothing_that_is_kept(rig: Rig, kept: Path) -> None:
    rig.run("rm $VIRTUAL_ENV/bin/tool; echo x > $VIRTUAL_ENV/bin/other", setup=[TOOL])
    again(rig)
    rig.run("tool; ls $VIRTUAL_ENV/bin/other", setup=[TOOL])
    assert b"used again" in rig.log()
    assert b"a tool" in rig.log() and b"No such file" in rig.log()


def test_without_a_place_to_keep_it_the_job_has_it_all_the_same(runner: Rig) -> None:
    assert runner.run("tool", setup=[TOOL]).exit_code == 0
    assert runner.link.state().setup == {"key": runner.link.state().setup["key"], "is": "built", "travels": False}  # type: ignore[index]


def test_what_is_in_caches_is_neither_read_nor_written(runner: Rig) -> None:
    make = "! ls data; mkdir -p data ~/.cache/tool; touch data/y ~/.cache/tool/x; env | grep PIP_NO"
    caches = ["~/.cache/tool", "./data/"]
    runner.submit("test ! -e ~/.cache/tool/x; ls data", setup=[make], caches=caches, inputs=["cache-1"])
    runner.link.put_input("cache-1", [tar_of({"z": b"z\n"})])
    assert runner.wait("uploading").exit_code == 0
    assert b"'data': No such" in runner.log() and b"PIP_NO_CACHE_DIR=1" in runner.log()
    assert runner.log().splitlines()[-1] == b"z"
    assert set(runner.output("cache-1")) == {"z"}


@pytest.mark.parametrize("cache", ["~/.cache/pip", "~/.cache"])
def test_what_pip_downloads_is_in_the_jobs_cache(runner: Rig, cache: str) -> None:
    state = runner.run("cat ~/.cache/pip/x", setup=["echo x > ~/.cache/pip/x; ! env | grep PIP_NO"], caches=[cache])
    assert (state.exit_code, runner.log().splitlines()[-1]) == (0, b"x")


def test_a_runner_that_dies_meanwhile_leaves_nothing(rig: Rig, kept: Path) -> None:
    rig.submit("echo ran", setup=["echo $$ > pid; echo begun; sleep 60"])
    rig.wait_log(b"begun")
    pid = int((rig.folder / "setup" / "work" / "pid").read_text())
    rig.crash()
    rig.start("--setups", str(kept))
    state = rig.wait("uploading")
    assert (state.reason, b"ran" in rig.log()) == ("runner", False)
    until(lambda: not alive(pid), "the setup's end")
    assert not (rig.folder / "setup").exists() and not list(kept.glob("*"))


def test_what_nothing_uses_any_more_goes(rig: Rig, kept: Path) -> None:
    rig.run("true", setup=[TOOL, "echo one"])
    [old] = kept.glob("*")
    partial = kept / ".a-0"
    partial.mkdir()
    for place in (old / process_setup.ABOUT, partial):
        os.utime(place, (1, 1))
    again(rig)
    rig.run("true", setup=[TOOL, "echo two"])
    assert len(list(kept.glob("*"))) == 1 and not old.exists() and not partial.exists()


def test_it_needs_its_working_folder(runner: Rig) -> None:
    state = runner.run("true", setup=["true"], working_dir="nowhere")
    assert (state.reason, state.message) == ("start", "working_dir nowhere isn't in the source")
