"""Uploads of a working folder: whole or not at all, and answered whatever goes wrong."""

from __future__ import annotations

import os

from dstack_cloud.storage.packing import packed
from tests.unit.runner.rig import tar_of
from tests.unit.server.site import Site, chunked, wait_until

SHA256 = "ab" * 32
PATH = f"/api/projects/main/code/{SHA256}"
# more than sockets and queues hold
LARGE = 64 * 2**20


def snapshot(size: int = 100_000) -> bytes:
    return b"".join(packed([tar_of({"a": os.urandom(size)})]))


def test_a_snapshot_is_there_after_its_upload(site: Site) -> None:
    assert site.ask("HEAD", PATH).status == 404
    assert site.ask("PUT", PATH, chunked([snapshot()])).status == 200
    assert site.ask("HEAD", PATH).status == 200


def test_an_upload_that_breaks_off_leaves_nothing(site: Site) -> None:
    connection = site.connect()
    connection.putrequest("PUT", PATH)
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    data = snapshot()[:50_000]
    connection.send(b"%x\r\n%b\r\n" % (len(data), data))
    wait_until(lambda: site.app.state.requests == 1, "the request")
    connection.close()
    wait_until(lambda: site.app.state.requests == 0, "its end")
    assert site.ask("HEAD", PATH).status == 404


def test_an_upload_that_is_no_snapshot_is_refused(site: Site) -> None:
    answer = site.ask("PUT", PATH, chunked([b"no zstandard"]))
    assert (answer.status, answer.json()["code"]) == (400, "UsageError")


def test_a_store_that_fails_in_the_middle_answers_and_frees_its_thread(site: Site) -> None:
    """The rest of a large upload has no reader then: nothing may wait for one."""
    site.store.broken = {"code/"}
    piece = os.urandom(2**20)
    answer = site.ask("PUT", PATH, chunked(piece for _ in range(LARGE // len(piece))))
    assert answer.status in (400, 500)
    assert answer.json()["code"] in ("StoreError", "UsageError")
    wait_until(lambda: site.app.state.requests == 0, "the end of the request")
