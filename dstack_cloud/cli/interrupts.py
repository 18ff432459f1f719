"""Ctrl+C on an attached run: once asks it to stop, twice aborts it, three times leaves it alone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

_ASKED = "stopping… press Ctrl+C again to abort\n"
_PRESSED_AGAIN = "aborting… press Ctrl+C again to leave it alone\n"


class Interrupts:
    """Within this context Ctrl+C doesn't raise, so that no answer of the server is torn in the middle.

    What was pressed before the run was submitted counts too: it goes out when `ready` is told how to stop it.
    """

    def __init__(self) -> None:
        self._request_stop: Callable[[bool], None] | None = None
        self._ready = threading.Event()
        self.count = 0

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def ready(self, request_stop: Callable[[bool], None]) -> None:
        """The run has been submitted. `request_stop(abort)` is called in a thread of its own."""
        self._request_stop = request_stop
        self._ready.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 2:
            raise KeyboardInterrupt
        abort = self.count == 2
        # not through sys.stderr: the signal may have come in the middle of a write to it
        os.write(2, ("\r\033[K" if os.isatty(2) else "").encode() + (_PRESSED_AGAIN if abort else _ASKED).encode())
        threading.Thread(target=self._send, args=(abort,), daemon=True).start()

    def _send(self, abort: bool) -> None:
        self._ready.wait()
        if self._request_stop:
            self._request_stop(abort)
