"""What the project may have: read before GPUs are tried for, and told by `dstack config check`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import ALL_REGIONS, ASK_FOR_QUOTA, translated
from dstack_cloud.errors import BackendError, InvalidConfiguration

# https://cloud.google.com/compute/docs/gpus/create-vm-with-gpus#gpu_quota: of all regions and kinds together
GPUS = "GPUS_ALL_REGIONS"
# who asks for more gets it within minutes, or days
AGE_SECONDS = 300.0


class Quota(NamedTuple):
    used: float
    limit: float


class Quotas:
    """Threads share it."""

    def __init__(self, client: GcpClient) -> None:
        self._client = client
        self._read = Memory[str, Mapping[str, Quota]](AGE_SECONDS)

    def of_project(self) -> Mapping[str, Quota]:
        """By metric, of all regions together. Raises BackendError."""
        return self._read.get("", self._read_project)

    def of_region(self, region: str) -> Mapping[str, Quota]:
        """By metric. Raises BackendError."""
        request = {"project": self._client.project, "region": region}
        with translated(f"quotas of {region}"):
            described = self._client.region_descriptions().get(request=request, **self._client.reading)
        return _by_metric(described.quotas)

    def check_gpus(self) -> None:
        """Raises InvalidConfiguration where no region will ever give the project a GPU."""
        try:
            most = self.of_project().get(GPUS)
        except BackendError:
            return  # each machine that is asked for meets its quotas anyway
        if most is not None and most.limit == 0:
            raise InvalidConfiguration(
                f"Google Cloud doesn't fit: needs a GPU, and the project's quota {GPUS} is 0",
                f"{ALL_REGIONS}{ASK_FOR_QUOTA}",
                cloud_code="QUOTA_EXCEEDED",
            )

    def _read_project(self) -> Mapping[str, Quota]:
        request = {"project": self._client.project}
        with translated("quotas of the project"):
            return _by_metric(self._client.projects().get(request=request, **self._client.reading).quotas)


def _by_metric(quotas: Iterable[Any]) -> dict[str, Quota]:
    return {str(each.metric): Quota(used=float(each.usage), limit=float(each.limit)) for each in quotas}
