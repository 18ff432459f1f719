"""What the backends say of their machines, asked for many at once and shared by all steps: clouds count calls, not machines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dstack_cloud import errors
from dstack_cloud.backends.base import Backend, Observed

# a backend with so few machines isn't spared
SHARE_FROM = 3


@dataclass
class _Shared:
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked_at: float = 0.0
    seen: Mapping[str, Observed] = field(default_factory=dict)


class Observations:
    """`spacing` is seconds: while many machines are alive, an answer so old is as good as a new one."""

    def __init__(self, spacing: float = 1.0) -> None:
        self._spacing = spacing
        self._lock = threading.Lock()
        self._shared: dict[tuple[str, str], _Shared] = {}
        self._silent_at: dict[tuple[str, str], float] = {}

    def note_silence(self, place: tuple[str, str], now: float) -> None:
        """The backend of that project and name couldn't be asked."""
        self._silent_at[place] = now

    def heard(self, place: tuple[str, str], seconds: float, now: float) -> float:
        """So many of the last `seconds` as that backend could be asked without a break."""
        silent_at = self._silent_at.get(place)
        return seconds if silent_at is None else min(seconds, max(now - silent_at, 0.0))

    def look(
        self, project: str, backend: Backend, ref: str, alive: Callable[[], Sequence[str]], age: float = 0.0
    ) -> Observed:
        """`alive` gives the refs of all machines of that backend; an answer `age` seconds old will do. Raises BackendError."""
        able = backend.capabilities
        if not self._spacing or not able.remote or not able.ephemeral:
            # this computer's cost nothing to ask, and one of the user's own that doesn't answer must hide no other
            return backend.inspect([ref])[ref]
        with self._lock:
            shared = self._shared.setdefault((project, backend.name), _Shared())
        came_at = time.monotonic()
        with shared.lock:
            if ref not in shared.seen or shared.asked_at < came_at - max(self._spacing, age):
                self._ask(shared, backend, ref, alive)
            return shared.seen[ref]

    def _ask(self, shared: _Shared, backend: Backend, ref: str, alive: Callable[[], Sequence[str]]) -> None:
        asked_at = time.monotonic()
        refs = alive()
        if len(refs) < SHARE_FROM:
            shared.seen, shared.asked_at = backend.inspect([ref]), 0.0
            return
        try:
            shared.seen, shared.asked_at = backend.inspect([*{*refs, ref}]), asked_at
        except errors.BackendError:
            # one region that doesn't answer must not hide the machines of the others
            shared.seen, shared.asked_at = backend.inspect([ref]), 0.0
