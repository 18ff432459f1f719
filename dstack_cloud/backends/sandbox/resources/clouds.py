"""What the metadata services of three clouds say about a machine. Pure: paths and texts.

Amazon: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html and, for the notices,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html and rebalance-recommendations.html
Google: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys
Azure: https://learn.microsoft.com/en-us/azure/virtual-machines/linux/scheduled-events
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

AMAZON = "/latest/"
GOOGLE = "/computeMetadata/v1/"
AZURE = "/metadata/"
AZURE_NAME = f"{AZURE}instance/compute/name"


@dataclass(frozen=True)
class Subject:
    """A machine that asks about itself. `announced_at` and `ends_at`: UTC seconds of an interruption's notice and of the end
    it announces, None while there is none. `documents` are further ones, by path (`/latest/user-data`); they come first. A token of
    Azure's is for one resource, which its path says (`/metadata/identity/oauth2/token?resource=https://management.azure.com`)."""

    id: str
    region: str
    zone: str
    type: str
    address: str = ""
    spot: bool = False
    announced_at: float | None = None
    ends_at: float | None = None
    documents: Mapping[str, bytes] = field(default_factory=dict)


def documents(subject: Subject) -> dict[str, bytes]:
    """All of them, by path."""
    texts = _amazon(subject) | _google(subject)
    return {path: text.encode() for path, text in texts.items()} | dict(subject.documents)


def _amazon(subject: Subject) -> dict[str, str]:
    life = "spot" if subject.spot else "on-demand"
    identity = {
        "instanceId": subject.id,
        "region": subject.region,
        "availabilityZone": subject.zone,
        "instanceType": subject.type,
        "privateIp": subject.address,
    }
    data = {
        "instance-id": subject.id,
        "instance-type": subject.type,
        "instance-life-cycle": life,
        "local-ipv4": subject.address,
        "placement/availability-zone": subject.zone,
        "placement/region": subject.region,
    }
    if subject.ends_at is not None:
        end = _iso(subject.ends_at)
        data["spot/instance-action"] = json.dumps({"action": "terminate", "time": end})
        data["spot/termination-time"] = end
        notice = json.dumps({"noticeTime": _iso(subject.announced_at or subject.ends_at)})
        data["events/recommendations/rebalance"] = notice
    return {
        **{f"{AMAZON}meta-data/{name}": text for name, text in data.items()},
        f"{AMAZON}dynamic/instance-identity/document": json.dumps(identity),
    }


def _google(subject: Subject) -> dict[str, str]:
    data = {
        "id": subject.id,
        "name": subject.id,
        "zone": f"projects/0/zones/{subject.zone}",
        "machine-type": f"projects/0/machineTypes/{subject.type}",
        "preempted": "FALSE" if subject.ends_at is None else "TRUE",
        "maintenance-event": "NONE",
        "scheduling/preemptible": "TRUE" if subject.spot else "FALSE",
    }
    return {f"{GOOGLE}instance/{name}": text for name, text in data.items()}


def azure_events(subject: Subject) -> dict[str, object]:
    """The answer of `/metadata/scheduledevents`."""
    if subject.ends_at is None:
        return {"DocumentIncarnation": 1, "Events": []}
    event = {
        "EventId": f"{subject.id}-preempt",
        "EventType": "Preempt",
        "ResourceType": "VirtualMachine",
        "Resources": [subject.documents.get(AZURE_NAME, subject.id.encode()).decode()],
        "EventStatus": "Scheduled",
        "NotBefore": formatdate(subject.ends_at, usegmt=True),
        "Description": "",
        "EventSource": "Platform",
        "DurationInSeconds": -1,
    }
    return {"DocumentIncarnation": 2, "Events": [event]}


def azure_instance(subject: Subject) -> dict[str, object]:
    """The answer of `/metadata/instance`."""
    compute = {
        "name": subject.id,
        "vmId": subject.id,
        "location": subject.region,
        "zone": subject.zone,
        "vmSize": subject.type,
        "priority": "Spot" if subject.spot else "Regular",
    }
    return {"compute": compute}


def listing(found: Mapping[str, bytes], folder: str) -> bytes | None:
    """The names in a folder, one a line, folders with a slash behind them; None where there is no such folder."""
    prefix = folder.rstrip("/") + "/"
    below = [path[len(prefix) :] for path in found if path.startswith(prefix)]
    names = {name.partition("/")[0] + ("/" if "/" in name else "") for name in below}
    return "\n".join(sorted(names)).encode() if names else None


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
