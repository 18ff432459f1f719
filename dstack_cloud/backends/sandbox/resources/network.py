"""The private network of an installation's machines; there while one of them is."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import dataclass

from dstack_cloud.backends.sandbox.client import DockerClient, as_json
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.errors import Missing, Taken
from dstack_cloud.backends.sandbox.resources.machine import OWNER_LABEL
from dstack_cloud.errors import BackendError, InvalidConfiguration

_making = threading.Lock()


@dataclass(frozen=True)
class Network:
    """`gateway` is this computer's address on it, `subnet` in CIDR form."""

    name: str
    gateway: str
    subnet: str


def name(installation: str) -> str:
    return f"dstack-{installation}"


def find(client: DockerClient, installation: str) -> Network | None:
    try:
        known = client.get(f"/networks/{name(installation)}")
    except Missing:
        return None
    for block in known["IPAM"]["Config"] or []:
        if "Gateway" in block:
            return Network(known["Name"], block["Gateway"].split("/")[0], block["Subnet"])
    raise InvalidConfiguration(f"Docker's network {known['Name']} has no gateway", f"docker network rm {known['Name']}")


def ensure(client: DockerClient, config: SandboxConfig, installation: str) -> Network:
    """Makes it or finds it. Raises NoCapacity where Docker has no subnet left to give."""
    body = {
        "Name": name(installation),
        "CheckDuplicate": True,
        "Labels": {OWNER_LABEL: installation},
        "IPAM": {"Config": _block(config.subnet)},
    }
    # the engine's own check for duplicates isn't safe against two calls at once
    with _making:
        if found := find(client, installation):
            return found
        try:
            client.call("POST", "/networks/create", body=as_json(body))
        except Taken:
            pass  # another process was faster
        made = find(client, installation)
    if made is None:
        raise Missing(f"Docker made the network {name(installation)}, but has no such network")
    return made


def _block(subnet: str) -> list[dict[str, str]]:
    """The engine names the gateway that it takes itself only where it took the subnet itself, too."""
    if not subnet:
        return []
    block = ipaddress.ip_network(subnet)
    return [{"Subnet": str(block), "Gateway": str(block[1])}]


def remove(client: DockerClient, installation: str) -> bool:
    """Removes it if it is ours and no machine is on it; whether it is gone."""
    try:
        known = client.get(f"/networks/{name(installation)}")
        if (known.get("Labels") or {}).get(OWNER_LABEL) != installation:
            return False
        client.call("DELETE", f"/networks/{name(installation)}")
    except Missing:
        return True
    except BackendError as refused:
        # 403: a machine that started meanwhile is on it, and will remove it when it goes
        if refused.cloud_code != "403":
            raise
        return False
    return True
