"""The script with which a machine has itself deleted, run here against a cloud of two questions."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator

import pytest

from dstack_cloud.backends.base.ending import Metadata, script


class Cloud(http.server.BaseHTTPRequestHandler):
    """A metadata service and an API at once."""

    answer = 200
    seen: list[tuple[str, str, str]]

    def do_GET(self) -> None:
        if self.headers.get("Flavor") != "plain":
            self.send_error(403)
            return
        text = {"/md/name": "one", "/md/token": json.dumps({"access_token": "t0"})}[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_DELETE(self) -> None:
        self.seen.append((self.command, self.path, self.headers["Authorization"]))
        self.send_response(self.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def cloud() -> Iterator[tuple[str, type[Cloud]]]:
    kind = type("OneCloud", (Cloud,), {"seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        server.shutdown()


@pytest.mark.parametrize("answer", [200, 404], ids=["there", "gone already"])
def test_a_machine_deletes_itself_with_its_own_token(cloud: tuple[str, type[Cloud]], answer: int) -> None:
    url, kind = cloud
    kind.answer = answer
    metadata = Metadata(f"{url}/md", {"Flavor": "plain"}, "/token")
    text = script(metadata, url, '"/machines/" + known("/name") + "?v=1"')
    assert "curl" not in text, "whose arguments anybody on the machine may read"
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert kind.seen == [("DELETE", "/machines/one?v=1", "Bearer t0")]
