"""Every module imports alone, in any order, and is named for what it holds."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.sources import PACKAGE, module_name, python_files, repository_files, shown

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}

# What others wrote is imported once, before the forks: only the project's own modules are tried, each in a fresh process.
IMPORT_EACH_ALONE = """
import importlib, os, sys, traceback
for name in sys.argv[1].split(","):
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # an extra that isn't installed; whoever needs it will say so
for name in sys.argv[2].split(","):
    pid = os.fork()
    if pid == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            print("can't be imported alone:", name, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(1)
"""
HEAVY = "alembic,fastapi,obstore,paramiko,pydantic,rich.live,sqlmodel,typer,uvicorn,yaml,zstandard"


def test_every_module_imports_alone() -> None:
    names = [module_name(path) for path in python_files("dstack_cloud") if path.name != "__main__.py"]
    names = [name for name in names if ".migrations.versions." not in name and not name.endswith(".migrations.env")]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH_ALONE, HEAVY, ",".join(names)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_module_has_a_vague_name() -> None:
    vague = [
        shown(path)
        for path in repository_files()
        if VAGUE & {part.split(".")[0].strip("_").lower() for part in path.parts[len(PACKAGE.parent.parts) :]}
    ]
    assert not vague, "name these for what they hold"
