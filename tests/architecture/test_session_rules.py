"""The rules of tests/conftest.py, tried on a small suite of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import leftovers
from tests.architecture.sources import ROOT

SKIPS = """
import pytest

def test_it():
    pytest.skip("there is no moon")
"""

LEAVES_A_PROCESS = """
import subprocess

def test_it(tmp_path):
    subprocess.Popen(["sleep", "300"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""

LOOKS_AT_ITS_HOME = """
import os, pathlib

def test_it(tmp_path_factory):
    assert pathlib.Path(os.environ["DSTACK_HOME"]).parent == tmp_path_factory.getbasetemp()
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("__init__.py", "conftest.py", "needs.py", "leftovers.py"):
        shutil.copy(ROOT / "tests" / name, tests)
    return tests


def session(suite: Path, test: str, **settings: str) -> tuple[int, str]:
    """(exit code, output) of pytest over this one test."""
    (suite / "test_it.py").write_text(test)
    environment = {**os.environ, "DSTACK_TEST_STRICT": "", "TMPDIR": str(suite.parent), **settings}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", str(suite.parent), "tests"]
    done = subprocess.run(command, cwd=suite.parent, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_skip_has_its_reason(suite: Path) -> None:
    code, output = session(suite, SKIPS)
    assert code == 0 and "there is no moon" in output


def test_a_skip_fails_where_everything_should_be_there(suite: Path) -> None:
    code, output = session(suite, SKIPS, DSTACK_TEST_STRICT="1")
    assert code == 1 and "there is no moon" in output and "may not be skipped" in output


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("options", ["", "-n 1 --dist loadfile"])
def test_a_process_that_was_left_is_named_and_ended(suite: Path, options: str) -> None:
    _, output = session(suite, LEAVES_A_PROCESS, PYTEST_ADDOPTS=options)
    assert "left behind" in output and "sleep 300" in output
    deadline = time.monotonic() + 30
    while (left := leftovers.processes(suite.parent)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_the_users_own_state_folder_is_out_of_sight(suite: Path) -> None:
    code, output = session(suite, LOOKS_AT_ITS_HOME, DSTACK_HOME="/nowhere")
    assert code == 0, output
