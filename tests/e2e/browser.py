"""A real browser without a window, driven through its own protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PATIENCE = 90.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
    # as wide as a person's, so that no button hides in a menu
    "--window-size=1400,900",
    # it is to talk to the page that is tested and to nobody else
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip
# what a person could read on the page
TEXT = "document.title + '\\n' + (document.body ? document.body.innerText : '')"
# the middle of the first element of a selector that can be seen, as [x, y]
MIDDLE = """
(() => {
  for (const each of document.querySelectorAll(%s)) {
    each.scrollIntoView({block: "nearest"});
    const box = each.getBoundingClientRect();
    if (box.width && box.height) return [box.x + box.width / 2, box.y + box.height / 2];
  }
})()"""


class Browser:
    """Speaks over two pipes, which it has as its descriptors 3 and 4; each message ends with a NUL."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="dstack-test-browser-"))
        to_it, self._write = os.pipe()
        self._read, from_it = os.pipe()
        line = f'exec chromium {" ".join(FLAGS)} --user-data-dir="$1" about:blank 3<&{to_it} 4>&{from_it}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "chromium", str(self._profile)],
            pass_fds=(to_it, from_it), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_it)
        os.close(from_it)
        self._number, self._left = 0, b""

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        # its helpers write into the profile for as long as they live
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> Page:
        target = self.call("Target.createTarget", {"url": url})["targetId"]
        return Page(self, self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])

    def call(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        answer = self.ask(method, parameters, session)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def ask(self, method: str, parameters: dict[str, Any], session: str) -> dict[str, Any]:
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


class Page:
    """One that is open in a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def go(self, url: str) -> None:
        """`url` may be a path of the same site. What a page hasn't saved would be asked about: nobody answers."""
        if url.startswith("/"):
            url = str(self._value("location.origin")) + url
        self._browser.call("Page.navigate", {"url": url}, self._session)

    def wait_for(self, wanted: str) -> str:
        """The page's text once it holds `wanted`."""
        text, deadline = "", time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = self._value(TEXT) or ""
            if wanted in text:
                return text
            time.sleep(0.1)
        raise AssertionError(f"{wanted!r} isn't on the page, which says: {text}")

    def find(self, selector: str) -> tuple[float, float]:
        """The middle of the first element of a CSS selector that can be seen, once there is one and it stands still."""
        before, deadline = None, time.monotonic() + PATIENCE
        while (place := self._value(MIDDLE % json.dumps(selector))) is None or place != before:
            assert time.monotonic() < deadline, f"no {selector} on the page, which says: {self._value(TEXT)}"
            before = place
            time.sleep(0.1)
        return place[0], place[1]

    def click(self, selector: str) -> None:
        """With the mouse."""
        x, y = self.find(selector)
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self._browser.call("Input.dispatchMouseEvent", event, self._session)

    def _value(self, expression: str) -> Any:
        """None, too, while the page is on its way to another one."""
        answer = self._browser.ask("Runtime.evaluate", {"expression": expression, "returnByValue": True}, self._session)
        return answer.get("result", {}).get("result", {}).get("value")
