"""Azure on this computer: Resource Manager, Entra ID, the price list; sandbox machines for its machines, Azurite for Blob."""

from tests.fakes.azure.cloud import LOCATION, AzureCloud

__all__ = ["LOCATION", "AzureCloud"]
