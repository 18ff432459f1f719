"""The runner's state: one record, a sequence number, and a condition that wakes whoever waits for a change."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from dstack_cloud.runner_bootstrap.payload.folder import Folder, write_durably

PHASES = ("idle", "downloading", "running", "uploading", "finished")
# a restarted runner has forgotten the numbers of unsaved messages: its own start above anything it can have counted to
RESTART_LEAP = 1_000_000
MOST_WARNINGS = 50

Value = Any  # by key, see `fresh`
Record = dict[str, Any]


def fresh() -> Record:
    return {
        "seq": 1,
        "phase": "idle",
        "attempt": "",
        "message": "",
        "exit_code": None,
        "reason": "",
        "log_complete": False,
        "outputs": [],
        "warnings": [],
        "started_at": None,
        "ended_at": None,
        "notice_at": None,
        "setup": None,
    }


class StateBoard:
    """`saved` is what only the runner needs after a restart: the job without secrets, the process or container."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.state
        self._changed = threading.Condition()
        self._record = fresh()
        self.saved: Record = {}

    def load(self) -> bool:
        """Reads what an earlier runner left; False where there is nothing."""
        if not self._path.exists():
            return False
        kept = json.loads(self._path.read_bytes())
        self.saved = kept["saved"]
        self._record = {**fresh(), **kept["state"]}
        self._record["seq"] += RESTART_LEAP
        return True

    def __getitem__(self, key: str) -> Value:
        with self._changed:
            return self._record[key]

    def record(self) -> Record:
        with self._changed:
            return dict(self._record)

    def update(self, saved: Record | None = None, **changes: Value) -> None:
        """Applies the changes. A new phase, or something to save, is on the disk before anyone sees it."""
        with self._changed:
            record = {**self._record, **changes, "seq": self._record["seq"] + 1}
            if saved is not None:
                self.saved = {**self.saved, **saved}
            if saved is not None or record["phase"] != self._record["phase"]:
                write_durably(self._path, json.dumps({"state": record, "saved": self.saved}).encode())
            self._record = record
            self._changed.notify_all()

    def say(self, message: str) -> None:
        """A new progress message; the same one again wakes nobody."""
        with self._changed:
            if message == self._record["message"]:
                return
        self.update(message=message)

    def warn(self, text: str) -> None:
        with self._changed:
            warnings = self._record["warnings"]
        if text in warnings or len(warnings) > MOST_WARNINGS:
            return
        if len(warnings) == MOST_WARNINGS:
            text = "more warnings were left out"
        self.update(warnings=[*warnings, text])

    def wait(self, after: int, seconds: float) -> Record:
        """The record once its number is above `after`, or when time is up."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._record["seq"] <= after:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return dict(self._record)
