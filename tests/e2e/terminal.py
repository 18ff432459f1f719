"""A person at a terminal: reads what a command shows there, and types."""

from __future__ import annotations

import os
import pty
import select
import time
from types import TracebackType

from tests.e2e.conftest import PATIENCE, User

INTERRUPT = "\x03"
END = "\x04"


class Terminal:
    """`shown` is all that was seen; `expect` reads on until it is there."""

    def __init__(self, user: User, *args: str) -> None:
        self._ours, theirs = pty.openpty()
        pipes = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        # the terminal is the session's own, so that Ctrl+C reaches the command
        self._process = user.start(
            *args, **pipes, start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR))
        )
        os.close(theirs)
        self.shown, self._read = "", 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def expect(self, text: str) -> None:
        """Behind what was expected before."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.shown.find(text, self._read)) < 0:
            assert time.monotonic() < deadline and self._more(), f"no {text!r} in:\n{self.shown}"
        self._read = at + len(text)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def answer(self, question: str, answer: str) -> None:
        self.expect(question)
        self.type(f"{answer}\n")

    def wait(self) -> int:
        """Its exit code."""
        while self._more():
            pass
        return self._process.wait(PATIENCE)

    def _more(self) -> bool:
        """False at the end of what there will be."""
        if not select.select([self._ours], [], [], PATIENCE)[0]:
            return False
        try:
            some = os.read(self._ours, 4096)
        except OSError:  # Linux says so of a terminal that nobody has open any more
            return False
        self.shown += some.decode(errors="replace").replace("\r\n", "\n")
        return bool(some)
