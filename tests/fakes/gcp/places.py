"""The emulated cloud's one project, its regions and zones, and how paths and links name what is there."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib

from tests.fakes.gcp.wire import Refusal

PROJECT, NUMBER = "rehearsal-428117", "428117042017"
# documents name each other so, wherever the endpoint is
LINK = "https://www.googleapis.com/compute/v1/"
# https://cloud.google.com/compute/docs/regions-zones
ZONES = {
    "us-central1": "abcf",
    "us-east1": "bcd",
    "us-east4": "abc",
    "us-west1": "abc",
    "us-west4": "abc",
    "europe-west1": "bcd",
    "europe-west4": "abc",
    "asia-southeast1": "abc",
}
REGION, ZONE = "us-central1", "us-central1-a"
# how a price list calls where its regions lie
CONTINENTS = {"us": "Americas", "europe": "EMEA", "asia": "APAC"}
# https://cloud.google.com/compute/docs/naming-resources
NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_WHOLE = re.compile(r"(?:https?://[^/]+/(?:compute/)?v1/)?(projects/.+)")


def zones(region: str = "") -> list[str]:
    """All, or those of a region."""
    return [f"{name}-{zone}" for name, letters in ZONES.items() if region in ("", name) for zone in letters]


def region_of(zone: str) -> str:
    return zone.rpartition("-")[0]


def path_of(reference: str, scope: str) -> str:
    """The path below the service of what a link, a path or the end of one names, seen from a scope ("projects/p/zones/z")."""
    if whole := _WHOLE.fullmatch(reference):
        return whole[1]
    project = "/".join(scope.split("/")[:2])
    return f"{project}/{reference}" if reference.startswith(("zones/", "regions/", "global/")) else reference


def scope_of(path: str) -> str:
    """`projects/p/zones/z` of what lies there."""
    parts = path.split("/")
    return "/".join(parts[:3] if parts[2] == "global" else parts[:4])


def number(text: str) -> str:
    """An id that doesn't change, for what is always there."""
    return str(zlib.crc32(text.encode()) * 4096 + 1)


def fingerprint(text: str) -> str:
    """Of a part that is only changed by who has seen it as it is."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def check_zone(zone: str, path: str) -> None:
    """Raises Refusal."""
    if zone not in zones():
        project = path.split("/")[1]
        raise Refusal(404, f"The resource 'projects/{project}/zones/{zone}' was not found", "notFound")


def check_region(region: str, path: str) -> None:
    """Raises Refusal."""
    if region not in ZONES:
        project = path.split("/")[1]
        raise Refusal(404, f"The resource 'projects/{project}/regions/{region}' was not found", "notFound")
