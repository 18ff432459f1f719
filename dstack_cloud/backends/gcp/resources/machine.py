"""One machine as Compute Engine describes it: the request that makes it, and what is seen of it. Pure.

Requests are in the words of the SDK's types: https://cloud.google.com/python/docs/reference/compute/latest
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dstack_cloud.backends.base import Health, Launch, Observed
from dstack_cloud.backends.base.access import is_in, place_of
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.backends.gcp.config import SCHEME, GcpConfig
from dstack_cloud.backends.gcp.kinds import disk_type, is_bare_metal, split
from dstack_cloud.backends.gcp.resources.images import Image
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER

if TYPE_CHECKING:
    from dstack_cloud.backends.gcp.client import Instance

OWNER_LABEL = "dstack-owner"
KEY_LABEL = "dstack-key"
LIFETIME_LABEL = "dstack-lifetime"
# https://cloud.google.com/compute/docs/labeling-resources#requirements
LABEL_LENGTH = 63
NOT_IN_A_LABEL = re.compile(r"[^a-z0-9_-]")
NOT_IN_A_NAME = re.compile(r"[^a-z0-9-]")
NAME_LENGTH = 63
# what a request's id is made from, with the launch's key: https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
REQUESTS = uuid.UUID("6f1b7a55-7f6e-4b43-9a4e-0d6f0c1f6a6d")
# https://cloud.google.com/compute/docs/instances/limit-vm-runtime#limitations
SHORTEST_RUN_SECONDS, LONGEST_RUN_SECONDS = 30, 120 * 86_400
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# https://cloud.google.com/compute/docs/instances/instance-lifecycle: one that is about to stop may still save its outputs
UP = ("RUNNING", "STOPPING", "PENDING_STOP")
DOWN = ("TERMINATED", "STOPPED", "SUSPENDING", "SUSPENDED")


@dataclass(frozen=True)
class Place:
    """Where and what a machine is made of. `tags` are those that firewall rules aim at; `identity` is an account's email, ""
    for none."""

    image: Image
    subnet: str
    tags: tuple[str, ...]
    identity: str


def prefix_of(installation: str) -> str:
    """What the names of an installation's machines, rules and accounts begin with: no other's do."""
    return f"dstack-{hashlib.sha256(installation.encode()).hexdigest()[:8]}"


def kin_of(prefix: str, store: str) -> str:
    """What the names of all machines that use one store begin with, and what their account is called, which may delete them
    and no others (see `identity`). `prefix` is the installation's; 30 characters are allowed."""
    place = "/".join(place_of(store)) if is_in(store, SCHEME) else ""
    return f"{prefix}-{hashlib.sha256(place.encode()).hexdigest()[:6]}"


def name_of(kin: str, key: str) -> str:
    """The same key is always the same name: 63 letters, digits and hyphens are allowed."""
    fits = not NOT_IN_A_NAME.search(key) and 0 < len(key) < NAME_LENGTH - len(kin) and not key.endswith("-")
    return f"{kin}-{key if fits else hashlib.sha256(key.encode()).hexdigest()[:32]}"


def name_for(installation: str, launch: Launch) -> str:
    return name_of(kin_of(prefix_of(installation), launch.store), launch.key)


def request_id(installation: str, key: str) -> str:
    """Google remembers it: asked again with it, it answers with the operation that the first request began."""
    return str(uuid.uuid5(REQUESTS, f"{installation} {key}"))


def labels(values: Mapping[str, str]) -> dict[str, str]:
    """What a label can't hold becomes a hyphen."""
    return {_label(key): _label(value) for key, value in sorted(values.items())}


def _label(text: str) -> str:
    return NOT_IN_A_LABEL.sub("-", text.lower())[:LABEL_LENGTH]


def request(config: GcpConfig, installation: str, launch: Launch, place: Place) -> dict[str, Any]:
    """The same launch always gives the same request."""
    zone, (kind, accelerator, count) = launch.offer.zone, split(launch.offer.instance_type)
    # the time itself would differ from try to try: the machine's creation plus this is when it ends at the latest
    own = {OWNER_LABEL: installation, KEY_LABEL: launch.key, LIFETIME_LABEL: f"{launch.lifetime:.0f}"}
    marks = labels({**launch.tags, **own})
    made: dict[str, Any] = {
        "name": name_for(installation, launch),
        "machine_type": f"zones/{zone}/machineTypes/{kind}",
        "labels": marks,
        "tags": {"items": list(place.tags)},
        "disks": [_boot_disk(config, launch, place.image, marks)],
        "network_interfaces": [_interface(config, place)],
        "scheduling": _scheduling(launch),
        "metadata": {"items": _metadata(launch)},
    }
    if accelerator:
        place_of_it = f"zones/{zone}/acceleratorTypes/{accelerator}"
        made["guest_accelerators"] = [{"accelerator_type": place_of_it, "accelerator_count": count}]
    if place.identity:
        made["service_accounts"] = [{"email": place.identity, "scopes": [SCOPE]}]
    return made


def _boot_disk(config: GcpConfig, launch: Launch, image: Image, marks: Mapping[str, str]) -> dict[str, Any]:
    """What the job asks for comes on top of what the image fills; where it doesn't say, as much again as the image."""
    size = max(config.disk, image.size + (launch.disk or image.size))
    return {
        "boot": True,
        "auto_delete": True,
        "initialize_params": {
            "source_image": image.link,
            "disk_size_gb": -(-size // GIB),
            "disk_type": f"zones/{launch.offer.zone}/diskTypes/{disk_type(launch.offer.instance_type)}",
            "labels": dict(marks),
        },
    }


def _interface(config: GcpConfig, place: Place) -> dict[str, Any]:
    public = [{"name": "External NAT", "type_": "ONE_TO_ONE_NAT"}] if config.public_ip else []
    return {"subnetwork": place.subnet, "access_configs": public}


def _scheduling(launch: Launch) -> dict[str, Any]:
    """https://cloud.google.com/compute/docs/instances/create-use-spot and .../limit-vm-runtime"""
    spot, seconds = launch.offer.spot, int(launch.lifetime)
    stays = spot or launch.offer.machine.gpus or is_bare_metal(launch.offer.instance_type)
    made: dict[str, Any] = {
        "provisioning_model": "SPOT" if spot else "STANDARD",
        # a machine that is started anew by Google would begin its job again
        "automatic_restart": False,
        # what has GPUs or is bare metal can't be moved, and what is spot isn't
        "on_host_maintenance": "TERMINATE" if stays else "MIGRATE",
    }
    if seconds:
        made["max_run_duration"] = {"seconds": max(SHORTEST_RUN_SECONDS, min(seconds, LONGEST_RUN_SECONDS))}
    if spot or seconds:
        made["instance_termination_action"] = "DELETE"
    return made


def _metadata(launch: Launch) -> list[dict[str, str]]:
    """cloud-init reads `user-data`. Nobody else's keys let anybody in: neither the project's nor OS Login's."""
    items = {"user-data": launch.user_data, "block-project-ssh-keys": "TRUE", "enable-oslogin": "FALSE"}
    if launch.offer.machine.gpus:
        # for an image that has NVIDIA's driver only when asked: https://cloud.google.com/deep-learning-vm/docs/create-vm-instance
        items["install-nvidia-driver"] = "True"
    return [{"key": key, "value": value} for key, value in items.items() if value]


def observe(config: GcpConfig, ref: str, instance: Instance) -> Observed:
    status = str(instance.status)
    if status in DOWN:
        return Observed(
            ref, Health.STOPPED, detail=str(instance.status_message) or "it powered itself off, or was stopped"
        )
    interface = instance.network_interfaces[0] if instance.network_interfaces else None
    private = str(interface.network_i_p) if interface else ""
    public = [str(each.nat_i_p) for each in interface.access_configs if each.nat_i_p] if interface else []
    address = next(iter(public), "") if config.public_ip else private
    if status not in UP or not address:
        return Observed(ref, Health.STARTING)
    return Observed(ref, Health.RUNNING, f"ssh:{LOGIN_USER}@{address}:22", address=private)
