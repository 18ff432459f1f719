"""The emulated clouds for their own tests."""

from tests.fakes.aws.fixtures import any_moto, any_whole_cloud, bucket, cloud, moto
from tests.fakes.azure.fixtures import any_azure, any_whole_azure, azure, whole_azure
from tests.fakes.gcp.fixtures import any_google, any_whole_google, google, google_bucket, google_cloud

__all__ = [
    "any_azure",
    "any_google",
    "any_moto",
    "any_whole_azure",
    "any_whole_cloud",
    "any_whole_google",
    "azure",
    "bucket",
    "cloud",
    "google",
    "google_bucket",
    "google_cloud",
    "moto",
    "whole_azure",
]
