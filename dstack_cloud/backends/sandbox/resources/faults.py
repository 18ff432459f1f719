"""What may be done to a machine on purpose. Each looks from outside as it does when it happens in a cloud.

A container that is merely killed or paused gives itself away: its connections are closed at once, or its kernel goes on
acknowledging. So its network goes first, without a word in either direction.
"""

from __future__ import annotations

from dstack_cloud.backends.sandbox.client import DockerClient, as_json
from dstack_cloud.backends.sandbox.errors import Missing, Taken
from dstack_cloud.errors import Unavailable

# dropped, not refused: requests hang, as they do when a cable is cut
_WAYS = ("-t raw {} PREROUTING -i eth0 -j DROP", "-t mangle {} POSTROUTING -o eth0 -j DROP")
CUT = " && ".join(
    f"{{ iptables -w {way.format('-C')} 2>/dev/null || iptables -w {way.format('-I')}; }}" for way in _WAYS
)
RESTORE = "; ".join(f"while iptables -w {way.format('-D')} 2>/dev/null; do :; done" for way in _WAYS)
# room for a burst of a tenth of a second, and never less than a few packets
SMALLEST_BURST = 16_384
LINK = "cat /sys/class/net/eth0/iflink"
HOST_LINK = "ip -o link | sed -n 's/^{}: \\([^@:]*\\).*/\\1/p'"


def cut_network(client: DockerClient, ref: str) -> None:
    client.execute(ref, CUT)


def restore_network(client: DockerClient, ref: str) -> None:
    client.execute(ref, RESTORE)


def pause(client: DockerClient, ref: str) -> None:
    """Everything on it stands still, and nobody hears from it. Doing it twice changes nothing."""
    try:
        cut_network(client, ref)
        client.call("POST", f"/containers/{ref}/pause")
    except Taken:
        pass  # it stands still already


def resume(client: DockerClient, ref: str) -> None:
    if client.get(f"/containers/{ref}/json")["State"]["Paused"]:
        client.call("POST", f"/containers/{ref}/unpause")
    restore_network(client, ref)


def kill(client: DockerClient, ref: str) -> None:
    """Its power is cut: no connection is closed, no process is told. What is dead already stays so."""
    try:
        cut_network(client, ref)
    except (Missing, Taken, Unavailable):
        pass  # it is paused, or too ill to be told: what counts is its end
    try:
        client.call("POST", f"/containers/{ref}/kill")
    except (Missing, Taken):
        pass


def slow_network(client: DockerClient, ref: str, bits: float, helper_image: str) -> None:
    """`bits` a second each way, 0: no limit. What it sends is held back inside, what it gets on this computer's end of its
    cable, which only a container in the engine's own network can touch."""
    client.execute(ref, _shape("eth0", bits))
    index = client.execute(ref, LINK).strip()
    script = f'link=$({HOST_LINK.format(index)}) && [ -n "$link" ] && {_shape("$link", bits)}'
    spec = {
        "Image": helper_image,
        "Cmd": ["/bin/sh", "-c", script],
        "HostConfig": {"NetworkMode": "host", "CapAdd": ["NET_ADMIN"]},
    }
    container = client.call("POST", "/containers/create", body=as_json(spec))["Id"]
    try:
        client.call("POST", f"/containers/{container}/start")
        code = client.call("POST", f"/containers/{container}/wait")["StatusCode"]
    finally:
        client.call("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})
    if code:
        raise Unavailable(f"the network of {ref} can't be slowed down here: tc ended with {code}")


def _shape(link: str, bits: float) -> str:
    if not bits:
        return f"{{ tc qdisc del dev {link} root 2>/dev/null || true; }}"
    burst = max(SMALLEST_BURST, int(bits / 8 / 10))
    return f"tc qdisc replace dev {link} root tbf rate {int(bits)}bit burst {burst} latency 200ms"
