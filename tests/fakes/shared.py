"""Emulated clouds that tests share: each is started once, when it is first asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from tests.fakes.emulated import EmulatedCloud

Cloud = TypeVar("Cloud", bound=EmulatedCloud)


class Shared(Generic[Cloud]):
    """Of one kind. However many modules import its fixtures, a session has one without machines and one whole."""

    def __init__(self, start: Callable[[bool], Cloud]) -> None:
        """`start` is told whether it is to be a whole one, with machines."""
        self._start = start
        # by whether it is a whole one: the cloud that runs, and how many session fixtures hold it
        self._running: dict[bool, tuple[Cloud, int]] = {}

    @contextlib.contextmanager
    def held(self, *, whole: bool) -> Iterator[Cloud]:
        cloud, holders = self._running.get(whole) or (self._start(whole), 0)
        self._running[whole] = cloud, holders + 1
        try:
            yield cloud
        finally:
            holders = self._running[whole][1] - 1
            self._running[whole] = cloud, holders
            if not holders:
                del self._running[whole]
                cloud.close()
