"""A PostgreSQL server for the tests: on a Unix socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEADLINE = 60.0


@contextmanager
def running_server() -> Iterator[Path]:
    """The folder of its socket; anybody who reaches it may do anything. Skips where there is no PostgreSQL."""
    pytest.importorskip("psycopg", reason="PostgreSQL's driver isn't installed (pip install 'psycopg[binary]')")
    programs = _programs()
    # a socket's path is limited to 107 bytes, and the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    initdb = [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "test", "-E", "UTF8", "-N"]
    subprocess.run(initdb, check=True, user=user, cwd=folder, capture_output=True)
    options = ["-D", folder / "data", "-c", "listen_addresses=", "-k", folder, "-F"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([programs / "postgres", *options], user=user, cwd=folder, stdout=log, stderr=log)
        try:
            _wait(server, folder)
            yield folder
        finally:
            server.terminate()
            server.wait(DEADLINE)
            shutil.rmtree(folder)


def make_database(folder: Path, name: str) -> str:
    """Its URL."""
    import psycopg

    with psycopg.connect(f"host={folder} user=test dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql://test@/{name}?host={folder}"


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found and not shutil.which("postgres"):
        pytest.skip("there is no PostgreSQL server here (apt-get install postgresql)")
    return found[-1].parent if found else Path(str(shutil.which("postgres"))).resolve().parent


def _wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    import psycopg

    end = time.monotonic() + DEADLINE
    while True:
        try:
            psycopg.connect(f"host={folder} user=test dbname=postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.05)
