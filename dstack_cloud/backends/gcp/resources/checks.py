"""What `dstack config check` tells about Google Cloud: credentials, permissions, regions, images, quotas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dstack_cloud.backends.base import Finding
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import ALL_REGIONS, API_DISABLED, ASK_FOR_QUOTA
from dstack_cloud.backends.gcp.kinds import GPUS as GPU_KINDS
from dstack_cloud.backends.gcp.kinds import is_meant
from dstack_cloud.backends.gcp.resources.images import Catalogue
from dstack_cloud.backends.gcp.resources.network import Network
from dstack_cloud.backends.gcp.resources.policy import MACHINE_ROLE, needed_permissions
from dstack_cloud.backends.gcp.resources.quota import GPUS, Quota, Quotas
from dstack_cloud.errors import BackendError

LEAST = "grant the role that `dstack config permissions gcp` prints"
# https://cloud.google.com/resource-manager/reference/rest/v3/projects/testIamPermissions: so many at once
AT_ONCE = 100


# of each region, for every machine: https://cloud.google.com/compute/resource-usage
EVERYBODYS = {"CPUS": "CPUs", "SSD_TOTAL_GB": "GB of disks", "IN_USE_ADDRESSES": "public addresses"}
SPOT = "PREEMPTIBLE_"
UNTOLD = "Compute Engine doesn't tell it: see https://console.cloud.google.com/iam-admin/quotas"
NO_SUCH_TYPE = (
    "choose other `regions` (https://cloud.google.com/compute/docs/gpus/gpu-regions-zones), or other `instance_types`"
)

Sizes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Checks:
    """All of it asks and changes nothing. `sizes` tells a region's instance types, of those that `instance_types` names."""

    client: GcpClient
    network: Network
    images: Catalogue
    quotas: Quotas
    sizes: Callable[[str], Sizes]

    def findings(self) -> list[Finding]:
        try:
            project, regions = self.client.project, self.client.regions
            self.client.token()
        except BackendError as wrong:
            return [Finding.of(wrong)]
        found = [Finding(True, f"credentials of {self.client.caller} for the project {project}")]
        found += [*self._permissions(), *self._services()]
        try:
            limits = self.quotas.of_project()
        except BackendError as wrong:
            # Compute Engine is off, or not paid for: nothing else can be asked
            return [*found, Finding.of(wrong)]
        found += [self._image(name) for name in (self.client.config.images.cpu, self.client.config.images.gpu)]
        known: dict[str, Sizes] = {}
        with ThreadPoolExecutor(len(regions)) as pool:
            for region, sizes in zip(regions, pool.map(self._sizes, regions), strict=True):
                if isinstance(sizes, BackendError):
                    found.append(Finding.of(sizes))
                else:
                    known[region] = sizes
            for some in pool.map(lambda region: list(self._region(region, known.get(region, {}))), regions):
                found += some
        found += [*self._types(known), self._gpus(limits, wanted=any(map(self._accelerators, known.values())))]
        # what is wrong with a region is met more than once
        return list(dict.fromkeys(found))

    def _permissions(self) -> Iterator[Finding]:
        # those of the store are told with the store: they are the bucket's
        wanted = needed_permissions(self.client.config)
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

    def _sizes(self, region: str) -> Sizes | BackendError:
        """{} where the project doesn't say which types it wants: nothing can be lacking then."""
        if not self.client.config.instance_types:
            return {}
        try:
            return self.sizes(region)
        except BackendError as wrong:
            return wrong

    def _region(self, region: str, sizes: Sizes) -> Iterator[Finding]:
        try:
            place = self.network.region(region)
            known = self.quotas.of_region(region)
        except BackendError as wrong:
            yield Finding.of(wrong)
            return
        yield Finding(True, f"{region}: {place.subnet.rpartition('/')[2]} for machines in {', '.join(place.zones)}")
        for metric, title in EVERYBODYS.items():
            if metric != "IN_USE_ADDRESSES" or self.client.config.public_ip:
                yield _quota(region, title, metric, known.get(metric))
        if own := known.get(f"{SPOT}CPUS"):
            kind = "CPUs of spot machines" if own.limit else "no CPUs of spot machines apart: they count as the others"
            yield Finding(True, f"{region}: {own.limit:.0f} {kind} ({SPOT}CPUS)" if own.limit else f"{region}: {kind}")
        yield from self._gpus_of(region, known, self._accelerators(sizes))

    def _gpus_of(self, region: str, known: Mapping[str, Quota], wanted: Sequence[str]) -> Iterator[Finding]:
        """A line for each kind of GPU that the project's `instance_types` name, on demand and as spot; else what there is."""
        for name in wanted:
            kind = GPU_KINDS[name]
            if not kind.quota:
                yield Finding(True, f"{region}: {kind.name} GPUs: {UNTOLD}")
                continue
            pair = [(metric, known.get(metric)) for metric in (kind.quota, f"{SPOT}{kind.quota}")]
            either = any(quota is None or quota.limit for _, quota in pair)
            for metric, quota in pair:
                what = f"{kind.name} GPUs{' as spot' if metric.startswith(SPOT) else ''}"
                yield _quota(region, what, metric, quota, least=0 if either else 1)
        if not wanted:
            some = [f"{quota.limit:.0f} {metric}" for metric, quota in sorted(known.items()) if quota.limit]
            gpus = [each for each in some if each.endswith("_GPUS")]
            yield Finding(True, f"{region}: {', '.join(gpus) or f'no GPUs ({ASK_FOR_QUOTA})'}")

    def _types(self, known: Mapping[str, Sizes]) -> Iterator[Finding]:
        for pattern in self.client.config.instance_types if known else ():
            there = [region for region, sizes in known.items() if any(is_meant(name, pattern) for name in sizes)]
            if there:
                yield Finding(True, f"{pattern} is there in {', '.join(there)}")
            else:
                yield Finding(False, f"no zone of {', '.join(known)} has {pattern}", NO_SUCH_TYPE)

    def _gpus(self, limits: Mapping[str, Quota], *, wanted: bool) -> Finding:
        """0 is what a project has until somebody asks for more: wrong only for who wants GPUs."""
        return _quota("all regions", "GPUs", GPUS, limits.get(GPUS, Quota(0, 0)), least=1 if wanted else 0)

    def _accelerators(self, sizes: Sizes) -> list[str]:
        """The kinds of GPUs that the project asks for; none where it doesn't say which types."""
        return sorted({size["gpus"][0] for size in sizes.values() if size["gpus"]})


def _quota(place: str, what: str, metric: str, quota: Quota | None, least: int = 1) -> Finding:
    """`least`: below it nothing that the project asks for can be had there."""
    if quota is None:
        return Finding(True, f"{place}: {what} ({metric}): {UNTOLD}")
    text = f"{place}: {quota.limit:.0f} {what} ({metric}), {quota.used:.0f} in use"
    fix = f"{ALL_REGIONS}{ASK_FOR_QUOTA}" if metric == GPUS else f"{ASK_FOR_QUOTA} ({metric} in {place})"
    if quota.limit >= least:
        return Finding(True, text if quota.limit else f"{text} ({fix})")
    return Finding(False, text, fix)
