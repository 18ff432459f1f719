"""A TCP proxy that adds latency: `python -m bench.proxy HOST:PORT SECONDS` prints its own port. What the server answers comes
that much later; how much goes through at once isn't limited."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable


class Side(asyncio.Protocol):
    """One end of a connection: what it reads is written to the other, `seconds` later."""

    def __init__(self, seconds: float, joined: Callable[[Side], None] = lambda side: None) -> None:
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None
        self._seconds = seconds
        self._joined = joined
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._joined(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self._later(self.other, data)

    def _later(self, other: Side, data: bytes) -> None:
        assert other.transport
        if self._seconds:
            asyncio.get_running_loop().call_later(self._seconds, other.transport.write, data)
        else:
            other.transport.write(data)

    def meet(self, other: Side) -> None:
        self.other = other
        for data in self._early:
            self._later(other, data)

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.other and self.other.transport:
            asyncio.get_running_loop().call_later(self._seconds, self.other.transport.close)


async def serve(host: str, port: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()

    async def join(near: Side) -> None:
        _, far = await loop.create_connection(lambda: Side(seconds), host, port)
        far.meet(near)
        near.meet(far)

    def begin(near: Side) -> None:
        task = loop.create_task(join(near))
        joining.add(task)
        task.add_done_callback(joining.discard)

    server = await loop.create_server(lambda: Side(0, begin), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    asyncio.run(serve(host, int(port), float(sys.argv[2])))
