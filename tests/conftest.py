"""Rules that hold for every test: its own state folder, skips with a reason, nothing left behind.

`DSTACK_TEST_STRICT=1` (CI): whatever would be skipped fails, and so does a session that leaves something behind.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests import leftovers
from tests.needs import LACKS

STRICT = os.environ.get("DSTACK_TEST_STRICT") == "1"

# what is started in the background of a script ignores Ctrl+C, and so would every program that a test starts
signal.signal(signal.SIGINT, signal.default_int_handler)

# a server that was told to stop, or a machine that is being removed, may take this long
PATIENCE_SECONDS = 30

DOCKER_BEFORE = pytest.StashKey[set[str]]()
PROCESSES_BEFORE = pytest.StashKey[set[int]]()
BASE = pytest.StashKey[Path]()
LEFT = pytest.StashKey[list[str]]()

Report: TypeAlias = pytest.TestReport | pytest.CollectReport
Reporting: TypeAlias = Generator[None, Report, Report]


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """No test sees the user's own state folder or settings."""
    base = tmp_path_factory.getbasetemp()
    pytestconfig.stash[BASE] = base
    pytestconfig.stash[PROCESSES_BEFORE] = set(leftovers.processes(base))
    if hasattr(pytestconfig, "workeroutput"):
        pytestconfig.workeroutput["base"] = str(base)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("DSTACK_") and not name.startswith("DSTACK_TEST_"):
                patch.delenv(name)
        patch.setenv("DSTACK_HOME", str(base / "no-home"))
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Of pytest-xdist, for each worker, whose folder is in that of the whole session."""
    stash = node.config.stash
    if base := getattr(node, "workeroutput", {}).get("base"):
        stash[BASE], stash[PROCESSES_BEFORE] = Path(base).parent, set()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, lacks in LACKS.items():
        if item.get_closest_marker(marker) and (reason := lacks()):
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Reporting:
    report = yield
    return refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Reporting:
    report = yield
    return refuse_skip(report)


def refuse_skip(report: Report) -> Report:
    """Where CI has everything that a test can need, a skip hides a missing set-up."""
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} may not be skipped when DSTACK_TEST_STRICT=1.\n{reason}"
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[DOCKER_BEFORE] = leftovers.in_docker()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    stash = session.config.stash
    if BASE not in stash or hasattr(session.config, "workerinput"):
        return
    # on a laptop, another dstack of the user's may have come to life meanwhile: told, but no failure
    patience = PATIENCE_SECONDS if STRICT else 1
    before = leftovers.Before(docker=stash[DOCKER_BEFORE], processes=stash[PROCESSES_BEFORE])
    left = stash[LEFT] = leftovers.remaining(stash[BASE], before, patience=patience)
    if STRICT and left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(LEFT, None)
    if left:
        terminalreporter.section("left behind", red=True)
        for line in left:
            terminalreporter.line(line)
    if left is not None:
        # emulated clouds are looked at after each of their tests
        terminalreporter.line(f"left behind: {len(left)} (containers, volumes and networks in Docker; processes)")
