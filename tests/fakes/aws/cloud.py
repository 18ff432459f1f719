"""The emulated AWS as a test holds it: started, steered and looked at from the test's own process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.fakes.aws.faults import Fault
from tests.fakes.emulated import EmulatedCloud

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

ACCESS_KEY, SECRET_KEY = "AKIATEST", "secretsecret"  # also the S3 server's
REGION = "us-east-1"
# the memory of a terminated instance, which costs nothing
ENDED = "terminated"


class MotoCloud(EmulatedCloud):
    """A context. `endpoint` is the URL of all of AWS's services, `store` that of an S3 server beside it ("" for none)."""

    module, fault = "tests.fakes.aws.server", Fault

    def remove_default_vpc(self, region: str = REGION) -> None:
        """With its subnets; what else is in it keeps it from going."""
        ec2 = self.ec2(region)
        filters = {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
        for subnet in ec2.describe_subnets(**filters)["Subnets"]:  # type: ignore[arg-type]
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        for vpc in ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]:
            ec2.delete_vpc(VpcId=vpc["VpcId"])

    def calls(self, operation: str = "", service: str = "ec2") -> int:
        """How often an operation, or any of the service, was asked for."""
        known: Mapping[str, int] = self._ask("state")["calls"]
        name = f"{service}:{operation}"
        return sum(count for key, count in known.items() if key == name or (not operation and key.startswith(name)))

    def held(self, *, groups: bool = False) -> list[str]:
        """What costs money or was made for one run and is still there. `groups`: the lasting security groups, too."""
        state = self._ask("state")
        alive = [f"instance {each['id']} ({each['state']})" for each in state["instances"] if each["state"] != ENDED]
        kinds = ("volumes", "interfaces", "keys", *(("groups",) if groups else ()))
        return alive + [f"{kind[:-1]} {text}" for kind in kinds for text in state[kind]]

    def make_bucket(self, name: str) -> None:
        """In the S3 server."""
        self.client("s3", endpoint=self.store).create_bucket(Bucket=name)

    def client(self, service: str, region: str = REGION, **more: Any) -> Any:
        """boto3's, which doesn't try again by itself."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=more.pop("endpoint", self.endpoint),
            aws_access_key_id=more.pop("access_key", ACCESS_KEY),
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
            **more,
        )

    def ec2(self, region: str = REGION) -> EC2Client:
        found: EC2Client = self.client("ec2", region)
        return found
