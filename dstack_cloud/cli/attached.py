"""What a terminal shows of a run that it follows. The job's bytes go to stdout as they are, all else to stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from dstack_cloud.cli import output, run_tables
from dstack_cloud.cli.failures import INTERRUPTED, say
from dstack_cloud.cli.node_lines import NodeLines, log_name
from dstack_cloud.client.follow import Frame, LogBytes
from dstack_cloud.domain.states import JobStatus

if TYPE_CHECKING:
    from rich.status import Status

    from dstack_cloud.api.schemas import AccessView, JobView, RunView
    from dstack_cloud.cli.ports import Ports

_LISTENING = ("running", "uploading")


class Screen:
    """`log`: where the job's bytes go. `access(job id)` says how to reach the ports of a job that runs.

    The job's bytes are written by the thread that follows the run; the ports are told of by others, between two writes.
    """

    def __init__(self, log: BinaryIO, access: Callable[[str], list[AccessView]]) -> None:
        self._log = log
        self._access = access
        self._ports: Ports | None = None
        self._lock = threading.RLock()
        self._spinner: Status | None = None
        self._line_open = False
        self._log_of = ""
        self._lines = NodeLines()
        self._told: dict[str, str] = {}
        self._noted: set[str] = set()

    def show(self, frames: Iterator[Frame], submitted: RunView) -> RunView:
        """Until the run has ended; returns its last state."""
        last = submitted
        try:
            for frame in frames:
                if isinstance(frame, LogBytes):
                    name, node = log_name(frame.job, last["jobs"])
                    self._name_log(name, last)
                    self._write(frame.data if node is None else self._lines.take(node, frame.data))
                else:
                    last = frame.run
                    self._changed(last)
        finally:
            if self._ports is not None:
                self._ports.close()
            self._clear()
        self._write(self._lines.rest())
        self._close_line()
        return last

    def _name_log(self, name: str, run: RunView) -> None:
        """Of several jobs one log follows the other: a line says whose begins. Nodes that run together have one."""
        if name != self._log_of:
            self._write(self._lines.rest())
            if len({log_name(job["name"], run["jobs"])[0] for job in run["jobs"]}) > 1:
                self._tell(f"--- {name}")
        self._log_of = name

    def _write(self, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            self._clear()
            self._log.write(data)
            self._log.flush()
            self._line_open = not data.endswith(b"\n")

    def _changed(self, run: RunView) -> None:
        for job in run["jobs"]:
            name = job["id"] if len(run["jobs"]) > 1 else ""
            self._keep_ports(job)
            self._note_launches(job, name)
            text = ": ".join(part for part in (name, job["status"], job["message"]) if part)
            if self._told.get(job["id"]) != text:
                self._told[job["id"]] = text
                self._progress(text, job["status"])

    def _note_launches(self, job: JobView, name: str) -> None:
        """A line for each offer that was refused and each machine that was lost."""
        for instance in job["instances"]:
            note = run_tables.launch_note(instance)
            if note and instance["id"] not in self._noted:
                self._noted.add(instance["id"])
                self._tell(": ".join(part for part in (name, note) if part))

    def _keep_ports(self, job: JobView) -> None:
        """Of several nodes those of the first: it stands for all."""
        if job["node"]:
            return
        if job["status"] in _LISTENING:
            # a run that ends before it ever listened doesn't wait for this to be loaded
            from dstack_cloud.cli.ports import Ports

            self._ports = self._ports or Ports(self._access, self._tell)
            self._ports.open(job["id"], job["attempt"])
        elif self._ports is not None and JobStatus(job["status"]).finished:
            self._ports.close(job["id"])

    def _progress(self, text: str, status: str) -> None:
        if status == "running" or JobStatus(status).finished:
            self._clear()
        elif not sys.stderr.isatty():
            self._tell(text)
        elif not self._line_open:
            self._spin(text)

    def _spin(self, text: str) -> None:
        with self._lock:
            if self._spinner is None:
                from rich.status import Status

                self._spinner = Status(output.plain(text), console=output.console(sys.stderr))
                self._spinner.start()
            else:
                self._spinner.update(output.plain(text))

    def _tell(self, text: str) -> None:
        with self._lock:
            self._clear()
            self._close_line()
            print(text, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        with self._lock:
            if self._spinner is not None:
                self._spinner.stop()
                self._spinner = None

    def _close_line(self) -> None:
        """A log that doesn't end with a newline gets one on the screen, never in a file."""
        if self._line_open and sys.stderr.isatty():
            print(file=sys.stderr, flush=True)
        self._line_open = False


def tell_end(run: RunView) -> int:
    """One line about how it ended; returns the exit code for it: the job's own, where it has one."""
    status, code = run["status"], run["exit_code"]
    took = output.duration((run["finished_at"] or run["submitted_at"]) - run["submitted_at"])
    cost = ", cost unknown" if run["cost"] is None else f", {output.money(run['cost'])}" if run["cost"] else ""
    reasons = "; ".join(run_tables.notes([run]))
    reason = reasons.removeprefix(f"{run['name']}: ")
    for job in run["jobs"]:
        if job["status"] == "done" and job["message"]:
            output.warn(job["message"])
    say(f"{run['name']} {status}{f': {reason}' if reason else ''} ({took}{cost})")
    if status in ("stopped", "aborted"):
        return INTERRUPTED
    return code or (1 if status == "failed" else 0)
