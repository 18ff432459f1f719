"""A server of this computer's loopback, at another of its addresses too: machines of the sandbox reach only those."""

from __future__ import annotations

import contextlib
import socket
import threading


class Forwarder:
    """A context: `url` leads to `target` ("http://127.0.0.1:PORT") inside. `connections` counts them. `cut` breaks all and
    refuses new ones, which `refused` counts, until `mend`."""

    def __init__(self, target: str, address: str) -> None:
        self._target = int(target.rpartition(":")[2])
        self._listener = socket.create_server((address, 0), backlog=128)
        self.url = f"http://{address}:{self._listener.getsockname()[1]}"
        self.connections = self.refused = 0
        self._away = False
        self._open: list[socket.socket] = []

    def cut(self) -> None:
        self._away = True
        for each in self._open:
            with contextlib.suppress(OSError):
                # over already
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def mend(self) -> None:
        self._away = False

    def __enter__(self) -> Forwarder:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                if self._away:
                    self.refused += 1
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self.connections += 1
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(2**18):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for each in (source, sink):
            each.close()
