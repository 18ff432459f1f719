"""What the runner asks of whatever runs a job: processes on this machine, or a container."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

Commit = Callable[[dict[str, Any]], None]
Say = Callable[[str], None]


class Failure(Exception):
    """The attempt ends here: `reason` is a word of the protocol, `message` a line for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def words(self) -> tuple[str, str]:
        return self.reason, self.message


class Ending(NamedTuple):
    """`exit_code` None: not known. `reason` "" for the job's own end."""

    exit_code: int | None
    reason: str = ""
    message: str = ""


class Executor(Protocol):
    def prepare(self, say: Say) -> None:
        """What can be done before the inputs are there. Raises Failure."""
        ...

    def start(self, commit: Commit) -> None:
        """Starts the job once `commit` has saved what finds it again after a restart. Raises Failure."""
        ...

    def adopt(self, found: dict[str, Any]) -> None:
        """Instead of prepare and start: takes over what an earlier runner started, by what it committed. Raises Failure where it
        is lost; `kill` and `clean` then find what is left."""
        ...

    def wait(self) -> Ending:
        """Blocks until the job's own program has ended."""
        ...

    def terminate(self) -> None:
        """SIGTERM to all of the job; doesn't wait."""
        ...

    def wait_gone(self, seconds: float) -> bool:
        """Whether nothing of the job runs any more, waiting for at most so long."""
        ...

    def kill(self) -> None:
        """SIGKILL to all of the job."""
        ...

    def clean(self) -> list[str]:
        """After the end: nothing of it stays but its files. Returns warnings."""
        ...
