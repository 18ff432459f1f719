"""A carrier on the machine itself: `courier.pyz LIBRARY FOLDER PRIVATE SOCKET`.

LIBRARY has the unpacked wheels. FOLDER has `errand.json` and `store.json`, and gets `verdict`: "ready" as soon as something was
put into the store, or the reason where that couldn't be done: then the server carries instead. PRIVATE, on no disk, has
`credentials.json` where the store's were lent; who lent them may replace it at any time.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from dstack_cloud import errors
from dstack_cloud.courier.carrier import Carrier
from dstack_cloud.courier.errand import Errand
from dstack_cloud.courier.identity import own_identity
from dstack_cloud.courier.verdict import READY, Verdict
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink, SocketLike
from dstack_cloud.storage.store import ObjectStore, open_store

log = logging.getLogger(__name__)

# what the first answers of a store may take, before somebody else should carry; seconds
FIRST_SECONDS = 20.0
FIRST_FAILURES = 3
# how soon credentials that were replaced are used, seconds
FRESH_SECONDS = 60.0
LOOK_SECONDS = 0.5
# how long a runner that doesn't answer is thought to come back, when nothing is left but to dismiss it; seconds
DISMISS_SECONDS = 60.0
CREDENTIALS = "credentials.json"


class SocketRoad:
    """A carrier's way to a runner on the same machine. `arrived` is called when something is in the store."""

    def __init__(self, path: Path, arrived: Callable[[], object] = lambda: None) -> None:
        self._path = path
        self._link = RunnerLink(self._dial)
        self._arrived = arrived

    def open(self) -> RunnerLink:
        return self._link

    def forget(self) -> None:
        self._link.close()
        self._link = RunnerLink(self._dial)

    def lost(self) -> None:
        pass

    def recorded(self) -> None:
        self._arrived()

    def _dial(self) -> SocketLike:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        return connection


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    folder, private, runner = (Path(argument) for argument in arguments)
    errand = Errand.from_json((folder / "errand.json").read_bytes())
    verdict = Verdict(folder / "verdict")
    verdict.begin()
    if verdict.words not in ("", READY):
        # the server carries: one that was killed while it left must not come back
        return 0
    road = SocketRoad(runner, lambda: verdict.settle(READY))
    carrier = Carrier(open_machines_store(folder, private), road, errand)
    if not verdict.words:
        threading.Thread(target=give_way, args=(verdict, carrier), name="first", daemon=True).start()
    carrier.run()
    if not carrier.dismissed:
        dismiss(road.open())
    return 0


def open_machines_store(folder: Path, private: Path) -> ObjectStore:
    """Waits for the credentials where they were lent: a reboot loses them, and the server brings them again."""
    place = json.loads((folder / "store.json").read_bytes())
    credentials = own_identity(place["url"])
    if place["lent"]:
        lent = private / CREDENTIALS
        while not lent.exists():
            time.sleep(LOOK_SECONDS)
        credentials = borrowed(lent)
    return open_store(place["url"], options=place["options"], credentials=credentials)


def borrowed(path: Path) -> Callable[[], dict[str, Any]]:
    """A credential provider that reads the file again before long: what was lent may have been replaced."""

    def provide() -> dict[str, Any]:
        soon = datetime.now(timezone.utc) + timedelta(seconds=FRESH_SECONDS)
        return {**json.loads(path.read_bytes()), "expires_at": soon}

    return provide


def dismiss(link: RunnerLink) -> None:
    """The last word is in the store: the runner ends, and with it a machine that was made for it."""
    deadline = time.monotonic() + DISMISS_SECONDS
    while time.monotonic() < deadline:
        try:
            state = link.state()
            if state.phase == "uploading":
                link.collected()
            if state.phase in ("uploading", "finished", "idle"):
                return
            # given up before the job ended
            link.stop(abort=True)
            link.state(after=state.seq, wait=LOOK_SECONDS)
        except LinkError as error:
            log.info("the runner: %s", error)
            time.sleep(LOOK_SECONDS)


def give_way(verdict: Verdict, carrier: Carrier, leave: Callable[[int], object] = os._exit) -> None:
    """Ends this program where the store can't be used from here, so that the server carries instead."""
    deadline = time.monotonic() + FIRST_SECONDS
    # a network that fails is asked again by the store itself: an error is an answer
    while time.monotonic() < deadline and carrier.failures < FIRST_FAILURES and not verdict.words:
        time.sleep(LOOK_SECONDS)
    try:
        # something may have arrived just now, or the server's command have gone
        verdict.settle(carrier.complaint or f"no answer within {FIRST_SECONDS:.0f} seconds")
        if verdict.words == READY:
            return
    except OSError as error:
        log.warning("%s", errors.StoreError(f"the verdict can't be written: {error}"))
    carrier.stop()
    # exit code 0: it isn't started again
    leave(0)
