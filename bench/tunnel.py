"""The product's tunnel beside `ssh -L`, through the same sshd on this computer: `.venv/bin/python -m bench.tunnel`."""

from __future__ import annotations

import select
import shutil
import socket
import statistics
import time
from collections.abc import Callable
from functools import partial

from bench.harness import Figure, Pair, paired, show, timed
from bench.loopback import machine, openssh_tunnel, product_tunnel, target
from bench.target import PIECE, REQUEST, request

ROUNDS = 7
BULK = 256 << 20
NEW_CONNECTIONS = 200
CONNECTIONS = 16
REQUESTS = 6000


def main() -> None:
    if shutil.which("ssh") is None:
        print("there is no OpenSSH client here to compare with: nothing is measured")
        return
    with machine() as sshd, target() as port, openssh_tunnel(sshd, port) as theirs:
        for carrier in ("openssh", "paramiko"):
            with product_tunnel(sshd, port, carrier) as ours:
                print(f"carried by {carrier}")
                show(
                    [
                        bulk("download", download, ours, theirs),
                        bulk("upload", upload, ours, theirs),
                        *connecting(ours, theirs),
                        requests(ours, theirs),
                    ]
                )


def compared(work: Callable[[int], object], ours: int, theirs: int) -> Pair:
    return paired(lambda: work(ours), lambda: work(theirs), ROUNDS)


def bulk(name: str, work: Callable[[int], object], ours: int, theirs: int) -> Figure:
    pair = compared(work, ours, theirs)
    rates = [f"{BULK / statistics.median(each) / 1e6:.0f}" for each in (pair.a, pair.b)]
    return Figure(f"tunnel / `ssh -L`, {name}", pair.ratio, 2, "×", f"{rates[0]} against {rates[1]} MB/s")


def connecting(ours: int, theirs: int) -> list[Figure]:
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(NEW_CONNECTIONS):
        for port, seconds in zip((ours, theirs), samples, strict=True):
            seconds.append(timed(partial(ask_once, port)))
    mine, other = (statistics.median(each) * 1000 for each in samples)
    return [Figure("tunnel: new connection, to its first answer", mine, 1, "ms", f"`ssh -L`: {other:.2f} ms")]


def requests(ours: int, theirs: int) -> Figure:
    pair = compared(ask_many, ours, theirs)
    rates = [f"{REQUESTS / statistics.median(each):.0f}" for each in (pair.a, pair.b)]
    name = f"tunnel / `ssh -L`, requests over {CONNECTIONS} connections"
    return Figure(name, pair.ratio, 2, "×", f"{rates[0]} against {rates[1]} a second")


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask_once(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(request("e"))
        expect(connection, REQUEST)


def download(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(request("d", BULK))
        expect(connection, BULK)


def upload(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(request("u", BULK))
        piece = bytes(PIECE)
        for _ in range(BULK // PIECE):
            connection.sendall(piece)
        expect(connection, REQUEST)


def expect(connection: socket.socket, size: int) -> None:
    buffer = bytearray(PIECE)
    while size:
        got = connection.recv_into(buffer, min(size, PIECE))
        if not got:
            raise SystemExit("the tunnel broke off")
        size -= got


def ask_many(port: int) -> None:
    """One request under way on each of the connections, until there were enough answers."""
    connections = {c.fileno(): c for c in (connect(port) for _ in range(CONNECTIONS))}
    poll = select.epoll()
    asked = request("e")
    for number, connection in connections.items():
        poll.register(number, select.EPOLLIN)
        connection.sendall(asked)
    left, deadline = REQUESTS, time.monotonic() + 120
    while left > 0 and time.monotonic() < deadline:
        for number, _ in poll.poll(10):
            if len(connections[number].recv(REQUEST, socket.MSG_WAITALL)) != REQUEST:
                raise SystemExit("the tunnel broke off")
            left -= 1
            connections[number].sendall(asked)
    for connection in connections.values():
        connection.close()
    poll.close()


if __name__ == "__main__":
    main()
