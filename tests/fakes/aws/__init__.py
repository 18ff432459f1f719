"""AWS on this computer: moto's server with what it lacks, sandbox machines for its instances, SeaweedFS for S3."""

from tests.fakes.aws.cloud import ACCESS_KEY, REGION, SECRET_KEY, MotoCloud

__all__ = ["ACCESS_KEY", "REGION", "SECRET_KEY", "MotoCloud"]
