"""What `dstack config check` tells about AWS: credentials, regions, permissions, places, quotas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.errors import ASK_FOR_QUOTA, ENABLE, translated
from dstack_cloud.backends.aws.resources.images import Catalogue
from dstack_cloud.backends.aws.resources.network import Network
from dstack_cloud.backends.aws.resources.policy import LOOK
from dstack_cloud.backends.base import Finding
from dstack_cloud.errors import BackendError, NotAuthorized

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTAS = {
    "L-1216C47A": "ordinary machines on demand",
    "L-34B43A08": "ordinary spot machines",
    "L-DB2E81BA": "G and VT machines on demand",
    "L-3819A6DF": "G and VT spot machines",
    "L-417A185B": "P machines on demand",
    "L-7212CCBC": "P spot machines",
}
LEAST = "attach the policy that `dstack config permissions aws` prints to the user or role"
# a dry run that would have worked is answered with an error of this code
WOULD_WORK = "DryRunOperation"


@dataclass(frozen=True)
class Checks:
    """All of it asks and changes nothing."""

    client: AwsClient
    network: Network
    images: Catalogue

    def findings(self) -> list[Finding]:
        try:
            who = self._caller()
            regions = self.client.regions
        except BackendError as wrong:
            return [Finding.of(wrong)]
        found = [Finding(True, f"credentials of {who}")]
        with ThreadPoolExecutor(len(regions)) as pool:
            for some in pool.map(lambda region: list(self._region(region)), regions):
                found += some
        if any("permission" in one.text for one in found if not one.ok):
            found.append(Finding(False, "a permission is missing", LEAST))
        return found

    def _caller(self) -> str:
        with translated("caller"):
            return self.client.sts().get_caller_identity()["Arn"]

    def _region(self, region: str) -> Iterator[Finding]:
        try:
            if not self._enabled(region):
                yield Finding(False, f"{region} isn't enabled for the account", ENABLE)
                return
            subnets = self.network.subnets(region)
            yield Finding(True, f"{region}: subnets in {', '.join(sorted(subnets))}")
            for name in (self.client.config.images.cpu, self.client.config.images.gpu):
                yield self._image(region, name)
            yield from self._permissions(region)
        except BackendError as wrong:
            yield Finding.of(wrong)
            return
        yield from self._quotas(region)

    def _enabled(self, region: str) -> bool:
        with translated(region):
            known = self.client.ec2(self.client.regions[0]).describe_regions(AllRegions=True)["Regions"]
        status = {each["RegionName"]: each.get("OptInStatus", "") for each in known}
        return status.get(region, "not-opted-in") != "not-opted-in"

    def _image(self, region: str, name: str) -> Finding:
        try:
            return Finding(True, f"{region}: image {self.images.find(region, name).id} ({name})")
        except BackendError as wrong:
            return Finding.of(wrong)

    def _permissions(self, region: str) -> Iterator[Finding]:
        """Dry runs of what makes something. AWS looks at the permission first, then at what was asked for."""
        ec2 = self.client.ec2(region, retries=False)
        subnet = next(iter(self.network.subnets(region).values()))
        image = self.images.find(region, self.client.config.images.cpu)
        tries: dict[str, Callable[[], object]] = {
            "ec2:RunInstances": lambda: ec2.run_instances(
                MinCount=1, MaxCount=1, ImageId=image.id, SubnetId=subnet.id, InstanceType="t3.small", DryRun=True
            ),
            "ec2:CreateSecurityGroup": lambda: _dry_group(ec2, subnet.vpc),
        }
        if region == self.client.regions[0]:
            # a policy seldom tells regions apart, and each of these is a call
            tries = {**_looks(ec2), **tries}
        for action, attempt in tries.items():
            try:
                with translated(f"{region} {action}"):
                    attempt()
            except NotAuthorized as wrong:
                yield Finding.of(wrong)
            except BackendError as wrong:
                yield _permitted(region, action) if wrong.cloud_code == WOULD_WORK else Finding.of(wrong)
            else:
                yield _permitted(region, action)

    def _quotas(self, region: str) -> Iterator[Finding]:
        """Told where they can be read; a quota of 0 is wrong only for what everybody uses."""
        try:
            with translated(f"quotas of {region}"):
                pages = self.client.quotas(region).get_paginator("list_service_quotas")
                found = {
                    each["QuotaCode"]: each["Value"]
                    for page in pages.paginate(ServiceCode="ec2")
                    for each in page["Quotas"]
                }
        except BackendError as wrong:
            yield Finding(True, f"{region}: quotas can't be read ({wrong.summary})")
            return
        for code, name in QUOTAS.items():
            if code in found:
                some = found[code] > 0 or code != "L-1216C47A"
                hint = "" if found[code] else f" ({ASK_FOR_QUOTA})"
                yield Finding(some, f"{region}: {found[code]:.0f} vCPUs of {name}{hint}", "" if some else ASK_FOR_QUOTA)


def _looks(ec2: EC2Client) -> dict[str, Callable[[], object]]:
    """Dry runs of what asks EC2. Those that end something are permitted for what has our tag alone: there is nothing to try them on."""
    methods = {f"ec2:{operation}": name for name, operation in ec2.meta.method_to_api_mapping.items()}
    return {action: partial(getattr(ec2, methods[action]), DryRun=True) for action in LOOK if action in methods}


def _permitted(region: str, action: str) -> Finding:
    return Finding(True, f"{region}: {action} is permitted")


def _dry_group(ec2: EC2Client, vpc: str) -> None:
    ec2.create_security_group(GroupName="dstack-dry-run", Description="dry run", VpcId=vpc, DryRun=True)
