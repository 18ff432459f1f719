"""How a machine ends itself: Azure goes on billing one that powered itself off, so it first has itself deleted. Pure.

Its token comes from its metadata service, and is good for machines of its resource group only:
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from __future__ import annotations

from dstack_cloud.backends.base import ending

METADATA = ending.Metadata(
    "http://169.254.169.254/metadata",
    {"Metadata": "true"},
    "/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F",
)
# https://learn.microsoft.com/rest/api/compute/virtual-machines/delete
ITSELF = 'known("/instance/compute/resourceId?api-version=2021-02-01&format=text") + "?api-version=2024-07-01"'


def script(management: str) -> str:
    """`management` is Resource Manager's URL."""
    return ending.script(METADATA, management, ITSELF)
