"""How a machine ends itself: Google goes on billing the disk of one that powered itself off, so it first has itself deleted. Pure.

Its token comes from its metadata service: https://cloud.google.com/compute/docs/access/authenticate-workloads#applications
"""

from __future__ import annotations

from dstack_cloud.backends.base import ending

COMPUTE = "https://compute.googleapis.com"
METADATA = ending.Metadata(
    "http://169.254.169.254/computeMetadata/v1",
    {"Metadata-Flavor": "Google"},
    "/instance/service-accounts/default/token",
)
# its zone is told as projects/NUMBER/zones/ZONE
ITSELF = (
    '"/compute/v1/projects/" + known("/project/project-id") + "/zones/" + known("/instance/zone").rpartition("/")[2]'
    ' + "/instances/" + known("/instance/name")'
)


def script(endpoint: str) -> str:
    """`endpoint` is an emulator's URL, "" for Google Cloud itself."""
    return ending.script(METADATA, endpoint or COMPUTE, ITSELF)
