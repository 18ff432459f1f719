"""What the project may have: read before GPUs are tried for, and told by `dstack config check`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

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
        self._lock = threading.Lock()
        self._project: tuple[float, Mapping[str, Quota]] = (0.0, {})

    def of_project(self) -> Mapping[str, Quota]:
        """By metric, of all regions together. Raises BackendError."""
        with self._lock:
            at, found = self._project
            if not found or time.monotonic() - at > AGE_SECONDS:
                with translated("quotas of the project"):
                    described = self._client.projects().get(
                        request={"project": self._client.project}, **self._client.reading
                    )
                found = _by_metric(described.quotas)
                self._project = time.monotonic(), found
            return found

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


def _by_metric(quotas: Iterable[Any]) -> dict[str, Quota]:
    return {str(each.metric): Quota(used=float(each.usage), limit=float(each.limit)) for each in quotas}
