"""A real browser without a window, driven through its own protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PATIENCE = 90.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
    # it is to talk to the page that is tested and to nobody else
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip
# what a person could read on the page, that of frames included
TEXT = "document.title + '\\n' + (document.body ? document.body.innerText : '')"


class Browser:
    """Speaks over two pipes, which it has as its descriptors 3 and 4; each message ends with a NUL."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="dstack-test-browser-"))
        to_it, self._write = os.pipe()
        self._read, from_it = os.pipe()
        line = f'exec chromium {" ".join(FLAGS)} --user-data-dir="$1" about:blank 3<&{to_it} 4>&{from_it}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "chromium", str(self._profile)],
            pass_fds=(to_it, from_it),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_it)
        os.close(from_it)
        self._number, self._left = 0, b""

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def wait_for(self, url: str, wanted: str) -> str:
        """Opens `url`, and gives the page's text once it holds `wanted`."""
        target = self._call("Target.createTarget", {"url": url})["targetId"]
        session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        text, deadline = "", time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = self._ask("Runtime.evaluate", {"expression": TEXT}, session)
            # an error: the page is on its way to another one, and has nothing to read at the moment
            text = answer.get("result", {}).get("result", {}).get("value", "")
            if wanted in text:
                return text
            time.sleep(0.1)
        raise AssertionError(f"{wanted!r} isn't on the page, which says: {text}")

    def _call(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        answer = self._ask(method, parameters, session)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def _ask(self, method: str, parameters: dict[str, Any], session: str) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._write, json.dumps({**message, **({"sessionId": session} if session else {})}).encode() + b"\0")
        while True:
            answer: dict[str, Any] = json.loads(self._message())
            if answer.get("id") == self._number:
                return answer

    def _message(self) -> bytes:
        while b"\0" not in self._left:
            data = os.read(self._read, 1 << 16)
            assert data, "the browser has ended"
            self._left += data
        message, _, self._left = self._left.partition(b"\0")
        return message
