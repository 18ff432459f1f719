"""`dstack run --reload`: what changes in the working folder is sent to the job that runs, as often as it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dstack_cloud.client.changes import Changes, Folder
from dstack_cloud.client.follow import Frame, RunChanged
from dstack_cloud.client.packing import Changed
from dstack_cloud.errors import Conflict, DstackError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RunView
    from dstack_cloud.client import Client
    from dstack_cloud.client.listing import Entry

# of the names that a line tells
SHOWN = 3


class Reloading:
    """Of one job of a run. Each attempt begins with the code that was submitted, so it gets all that has changed since."""

    def __init__(
        self, client: Client, folder: Path, entries: Sequence[Entry], workflow: str, tell: Callable[[str], None]
    ) -> None:
        """`entries`: of the folder, as they were submitted. `tell` shows a line."""
        self._client = client
        self._folder = folder
        self._entries = entries
        self._workflow = workflow
        self._tell = tell
        self._attempt = 0
        self._over = threading.Event()

    def watch(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames; meanwhile changes are sent."""
        try:
            for frame in frames:
                if isinstance(frame, RunChanged):
                    self._seen(frame.run)
                yield frame
        finally:
            self._over.set()

    def _seen(self, run: RunView) -> None:
        for job in run["jobs"]:
            if job["id"] != f"{run['name']}.{self._workflow}":
                continue
            if job["status"] != "running":
                self._over.set()
            elif job["attempt"] != self._attempt or self._over.is_set():
                self._attempt, self._over = job["attempt"], threading.Event()
                folder = Folder(self._folder, self._client.home, self._entries)
                sender = _Sender(self._client, job["id"], job["attempt"], folder, self._tell)
                threading.Thread(target=sender.run, args=(self._over,), name="reload", daemon=True).start()


class _Sender:
    """To one attempt."""

    def __init__(self, client: Client, job: str, attempt: int, folder: Folder, tell: Callable[[str], None]) -> None:
        self._client = client
        self._job = job
        self._attempt = attempt
        self._folder = folder
        self._tell = tell
        self._complaint = ""

    def run(self, over: threading.Event) -> None:
        while not over.wait(self._folder.pause):
            try:
                changes = self._folder.look()
                if changes:
                    self._send(changes)
                self._complaint = ""
            except Changed:
                continue  # it goes on changing: the next look has it
            except Conflict:
                return  # the attempt has ended: the run's next frame says so
            except DstackError as error:
                self._complain(error)

    def _send(self, changes: Changes) -> None:
        kept = self._client.put_changes(self._job, self._attempt, changes.packed(self._folder.place))
        self._folder.noted()
        sent = [entry.path for entry in changes.written if entry.path not in kept]
        gone = [path for path in reversed(changes.removed) if path not in kept]
        folders = {entry.path for entry in changes.written if entry.kind == "dir"}
        left = [path for path in kept if path not in folders]
        for verb, names in (("sent", sent), ("removed", gone), ("left as the job has it:", left)):
            if names:
                self._tell(f"reload: {verb} {_listed(names)}")

    def _complain(self, error: DstackError) -> None:
        """Once, and tried again: the file may become readable, the connection come back."""
        if error.summary != self._complaint:
            self._complaint = error.summary
            self._tell(f"reload: {error.summary}")


def _listed(names: Sequence[str]) -> str:
    """ "a.py, b.py, c.py and 2 more"."""
    more = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
