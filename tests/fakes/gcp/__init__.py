"""Google Cloud on this computer: its APIs over HTTP, as Google describes them itself, and sandbox machines for its instances."""

from tests.fakes.gcp.cloud import GoogleCloud
from tests.fakes.gcp.places import PROJECT, REGION, ZONE

__all__ = ["PROJECT", "REGION", "ZONE", "GoogleCloud"]
