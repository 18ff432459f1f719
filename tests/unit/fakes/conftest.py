"""The emulated clouds for their own tests."""

from tests.fakes.aws.fixtures import any_moto, any_whole_cloud, bucket, cloud, moto
from tests.fakes.azure.fixtures import any_azure, any_whole_azure, azure, whole_azure

__all__ = [
    "any_azure",
    "any_moto",
    "any_whole_azure",
    "any_whole_cloud",
    "azure",
    "bucket",
    "cloud",
    "moto",
    "whole_azure",
]
