"""Where a cloud sees this computer: the address from which machines let themselves be reached over SSH."""

from __future__ import annotations

import ipaddress
import socket
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from dstack_cloud.errors import Unavailable

OWN_ADDRESS_URL = "https://checkip.amazonaws.com"
OWN_ADDRESS_SECONDS = 10
# a laptop changes its network now and then
AGE_SECONDS = 300.0
# a question that fails takes as long as it may
FAILURE_SECONDS = 60.0


class OwnAddress:
    """Looked up anew every few minutes. `endpoint` is an emulator's URL, "" for a cloud."""

    def __init__(self, endpoint: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint, self._clock = endpoint, clock
        self._known: tuple[float, str] = (0.0, "")
        self._failed: tuple[float, Unavailable | None] = (0.0, None)

    def network(self) -> str:
        """As CIDR: "203.0.113.7/32". Raises Unavailable, for a while without asking again: whoever looks at machines asks often."""
        at, address = self._known
        if address and self._clock() - at <= AGE_SECONDS:
            return address
        failed_at, failure = self._failed
        if failure is not None and self._clock() - failed_at <= FAILURE_SECONDS:
            raise Unavailable(failure.summary, failure.hint)
        try:
            address = f"{address_towards(self._endpoint) if self._endpoint else public_address()}/32"
        except Unavailable as refused:
            self._failed = self._clock(), refused
            raise
        self._known = self._clock(), address
        return address


def public_address() -> str:
    """The IPv4 address at which others see this computer."""
    hint = "set `ssh_from` to the networks from which machines are reached"
    try:
        with urllib.request.urlopen(OWN_ADDRESS_URL, timeout=OWN_ADDRESS_SECONDS) as answer:
            return str(ipaddress.IPv4Address(answer.read(100).decode().strip()))
    except (OSError, ValueError) as cause:
        raise Unavailable(f"{OWN_ADDRESS_URL} doesn't tell this computer's public address: {cause}", hint) from cause


def address_towards(endpoint: str) -> str:
    """This computer's IPv4 address on the way to an emulator; nothing is sent."""
    host = urlsplit(endpoint).hostname or "127.0.0.1"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))
            return str(probe.getsockname()[0])
    except OSError as cause:
        raise Unavailable(f"there is no way to {host}: {cause}", "set `ssh_from`") from cause
