"""The emulated cloud for its own tests."""

from tests.fakes.aws.fixtures import any_moto, any_whole_cloud, bucket, cloud, moto

__all__ = ["any_moto", "any_whole_cloud", "bucket", "cloud", "moto"]
