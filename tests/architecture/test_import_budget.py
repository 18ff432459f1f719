"""A call of the CLI pays only for what it uses: measured in imported modules, which no busy computer can blur."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

# each of these takes longer to import than a whole call may take
HEAVY = {
    "alembic",
    "asyncio",
    "fastapi",
    "httpx",
    "obstore",
    "paramiko",
    "pydantic",
    "requests",
    "sqlalchemy",
    "sqlmodel",
}
SERVER_ONLY = {"dstack_cloud.services", "dstack_cloud.orchestrator", "dstack_cloud.backends", "dstack_cloud.db"}

# of the clouds; each takes from 0.1 to 2 s to import, and tens of MB
SDKS = {"azure", "boto3", "botocore", "google", "googleapiclient", "grpc", "msal"}

# a server that has listed what each backend of no cloud offers, and looked for orphans on all
SERVE = """
import json, os, sys
from pathlib import Path
from dstack_cloud.backends.base import offers_of_all
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.orchestrator.reap import reap
from dstack_cloud.server.wiring import wire
home = Path(os.environ["DSTACK_HOME"])
home.mkdir()
world = wire(home).scheduler.world
offers_of_all([world.backend("main", name) for name in ("local", "ssh")], Requirements())
reap(world)
assert {"local", "ssh", "aws", "gcp", "azure"} <= set(world.backends["main"])
print(json.dumps(sorted(sys.modules)))
"""

CALL = """
import json, os, sys
from dstack_cloud.cli.main import main
try:
    main()
except SystemExit as ending:
    code = ending.code
with open(os.environ["IMPORTED"], "w") as file:
    json.dump({"code": code, "modules": sorted(sys.modules)}, file)
"""


def imported_by(arguments: Sequence[str], folder: Path) -> set[str]:
    """The modules that `dstack ARGUMENTS` has imported when it ends well."""
    report = folder / "imported.json"
    environment = {**os.environ, "IMPORTED": str(report), "DSTACK_HOME": str(folder / "home")}
    done = subprocess.run(
        [sys.executable, "-c", CALL, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stderr
    told = json.loads(report.read_text())
    assert not told["code"], done.stderr
    return set(told["modules"])


def test_version_imports_nothing_but_the_version(tmp_path: Path) -> None:
    ours = {name for name in imported_by(["--version"], tmp_path) if name.startswith("dstack_cloud")}
    assert ours == {"dstack_cloud", "dstack_cloud.cli", "dstack_cloud.cli.main", "dstack_cloud.version"}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_version_and_help_need_no_typer(arguments: list[str], tmp_path: Path) -> None:
    unwanted = imported_by(arguments, tmp_path) & {*HEAVY, *SERVER_ONLY, "typer", "rich", "yaml", "http.client"}
    assert not unwanted


def test_ps_imports_no_server_side_library(tmp_path: Path) -> None:
    try:
        unwanted = imported_by(["ps"], tmp_path) & {*HEAVY, *SERVER_ONLY}
        assert not unwanted
    finally:
        imported_by(["server", "stop"], tmp_path)


@pytest.mark.parametrize("arguments", [["run", "--help"], ["run", "python", "--help"]])
def test_run_help_imports_no_server_side_library(arguments: list[str], tmp_path: Path) -> None:
    unwanted = imported_by(arguments, tmp_path) & {*HEAVY, *SERVER_ONLY, "dstack_cloud.reference"}
    assert not unwanted


def test_a_server_pays_for_no_cloud_that_its_project_does_not_use(tmp_path: Path) -> None:
    environment = {**os.environ, "DSTACK_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", SERVE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not {name.partition(".")[0] for name in json.loads(done.stdout)} & SDKS
