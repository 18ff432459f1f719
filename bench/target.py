"""A small fast server to be reached through tunnels: `python -m bench.target` prints its port and serves until it is killed.

A request is 64 bytes, its kind first and its size behind: `e` is answered with as many bytes, `d SIZE` with SIZE bytes,
`u SIZE` takes SIZE bytes and answers with 64.
"""

from __future__ import annotations

import os
import select
import socket
import threading

REQUEST = 64
PIECE = 1 << 20
ANSWER = b"." * REQUEST


def request(kind: str, size: int = 0) -> bytes:
    return f"{kind} {size} ".encode().ljust(REQUEST, b".")


def serve() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=end_with_parent, daemon=True).start()
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
            elif not answer(connections[number]):
                connections.pop(number).close()


def answer(connection: socket.socket) -> bool:
    """One request after the other: bulk ones come alone."""
    try:
        asked = connection.recv(REQUEST, socket.MSG_WAITALL)
        if len(asked) < REQUEST:
            return False
        kind, size = asked.split()[:2]
        if kind == b"d":
            connection.sendall(bytes(int(size)))
        else:
            take(connection, int(size))
            connection.sendall(ANSWER)
    except ConnectionError:
        return False
    return True


def take(connection: socket.socket, size: int) -> None:
    buffer = bytearray(PIECE)
    while size:
        got = connection.recv_into(buffer, min(size, PIECE))
        if not got:
            raise ConnectionResetError
        size -= got


def end_with_parent() -> None:
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    serve()
