"""What `dstack config check` tells about Google Cloud: credentials, permissions, regions, images, quotas."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dstack_cloud.backends.base import Finding
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import API_DISABLED, ASK_FOR_QUOTA
from dstack_cloud.backends.gcp.resources.images import Catalogue
from dstack_cloud.backends.gcp.resources.network import Network
from dstack_cloud.backends.gcp.resources.policy import MACHINE_ROLE, permissions
from dstack_cloud.backends.gcp.resources.quota import GPUS, Quotas
from dstack_cloud.errors import BackendError

LEAST = "grant the role that `dstack config permissions gcp` prints"
# https://cloud.google.com/resource-manager/reference/rest/v3/projects/testIamPermissions: so many at once
AT_ONCE = 100


@dataclass(frozen=True)
class Checks:
    """All of it asks and changes nothing."""

    client: GcpClient
    network: Network
    images: Catalogue
    quotas: Quotas

    def findings(self) -> list[Finding]:
        try:
            project, regions = self.client.project, self.client.regions
            limits = self.quotas.of_project()
        except BackendError as wrong:
            return [Finding.of(wrong)]
        found = [Finding(True, f"credentials of {self.client.caller} for the project {project}")]
        found += [*self._permissions(), *self._services()]
        found += [self._image(name) for name in (self.client.config.images.cpu, self.client.config.images.gpu)]
        with ThreadPoolExecutor(len(regions)) as pool:
            for some in pool.map(lambda region: list(self._region(region)), regions):
                found += some
        # 0 is what a project has until somebody asks for more: wrong only for who wants GPUs
        hint = "" if limits.get(GPUS) else f" ({ASK_FOR_QUOTA})"
        return [*found, Finding(True, f"{limits.get(GPUS, 0):.0f} GPUs in all regions ({GPUS}){hint}")]

    def _permissions(self) -> Iterator[Finding]:
        wanted = permissions(self.client.config)
        given: set[str] = set()
        try:
            for start in range(0, len(wanted), AT_ONCE):
                asked = {"permissions": list(wanted[start : start + AT_ONCE])}
                path = f"/v3/projects/{self.client.project}:testIamPermissions"
                given |= set(self.client.rest("projects", "POST", path, asked).get("permissions", []))
        except BackendError as wrong:
            unread = Finding(True, f"permissions can't be read ({wrong.summary})")
            yield Finding.of(wrong) if wrong.cloud_code in API_DISABLED else unread
            return
        for permission in wanted:
            granted = permission in given
            yield Finding(granted, permission if granted else f"{permission} is missing", "" if granted else LEAST)

    def _services(self) -> Iterator[Finding]:
        """Compute Engine isn't all: a new project has the APIs of the others off."""
        asked = {"billing": "/v1/services?pageSize=1"}
        if not self.client.config.service_account:
            asked["iam"] = f"/v1/projects/{self.client.project}/roles/{MACHINE_ROLE}"
        for service, path in asked.items():
            try:
                self.client.rest(service, "GET", path)
            except BackendError as wrong:
                # that the role isn't there yet, for example, is no matter
                if wrong.cloud_code in API_DISABLED:
                    yield Finding.of(wrong)

    def _image(self, name: str) -> Finding:
        try:
            return Finding(True, f"image {self.images.find(name).link} ({name})")
        except BackendError as wrong:
            return Finding.of(wrong)

    def _region(self, region: str) -> Iterator[Finding]:
        try:
            place = self.network.region(region)
            limits = self.quotas.of_region(region)
        except BackendError as wrong:
            yield Finding.of(wrong)
            return
        yield Finding(True, f"{region}: {place.subnet.rpartition('/')[2]} for machines in {', '.join(place.zones)}")
        cpus = limits.get("CPUS", 0)
        fix = "" if cpus else ASK_FOR_QUOTA
        yield Finding(cpus > 0, f"{region}: {cpus:.0f} CPUs", fix)
        gpus = [f"{most:.0f} {metric}" for metric, most in sorted(limits.items()) if metric.endswith("_GPUS") and most]
        yield Finding(True, f"{region}: {', '.join(gpus) or f'no GPUs ({ASK_FOR_QUOTA})'}")
