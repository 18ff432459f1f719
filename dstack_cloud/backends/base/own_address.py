"""Where a cloud sees this computer: the address from which machines let themselves be reached over SSH."""

from __future__ import annotations

import ipaddress
import socket
import time
import urllib.request
from urllib.parse import urlsplit

from dstack_cloud.errors import Unavailable

OWN_ADDRESS_URL = "https://checkip.amazonaws.com"
OWN_ADDRESS_SECONDS = 10
# a laptop changes its network now and then
AGE_SECONDS = 300.0


class OwnAddress:
    """Looked up anew every few minutes. `endpoint` is an emulator's URL, "" for a cloud."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._known: tuple[float, str] = (0.0, "")

    def network(self) -> str:
        """As CIDR: "203.0.113.7/32". Raises Unavailable."""
        at, address = self._known
        if not address or time.monotonic() - at > AGE_SECONDS:
            address = f"{address_towards(self._endpoint) if self._endpoint else public_address()}/32"
            self._known = time.monotonic(), address
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
