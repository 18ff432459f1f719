"""The emulated AWS as a test holds it: started, steered and looked at from the test's own process."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tests.fakes.aws.faults import Fault

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

ACCESS_KEY, SECRET_KEY = "AKIATEST", "secretsecret"  # also the S3 server's
REGION = "us-east-1"
ROOT = Path(__file__).parents[3]
STOP_SECONDS, ANSWER_SECONDS = 60, 60
# the memory of a terminated instance, which costs nothing
ENDED = "terminated"


class MotoCloud:
    """A context. `endpoint` is the URL of all of AWS's services, `store` that of an S3 server beside it ("" for none)."""

    def __init__(self, *, machines: bool = False, store: bool = False) -> None:
        """`machines`: each instance boots a sandbox machine. `store`: SeaweedFS; machines reach it, and the endpoint."""
        self.label = f"emulated-{uuid.uuid4().hex[:12]}" if machines else ""
        flags = [*(("--machines", self.label) if machines else ()), *(("--store",) if store else ())]
        # a session of its own: Ctrl+C in a terminal is the tests' business; the pipe tells it of their end, whatever that is
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.aws.server", *flags],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("the emulated cloud didn't start: its complaint is in this process's standard error")
        urls = json.loads(line)
        self.endpoint, self.store = str(urls["endpoint"]), str(urls["store"])

    def __enter__(self) -> MotoCloud:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, and all that it made."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def fail(self, operation: str, code: str = "", **more: Any) -> None:
        """See `faults.Fault`; what isn't one of its fields is a parameter to match (`zone`, `market`, `type`, …)."""
        known = {name: more.pop(name) for name in list(more) if name in Fault.__dataclass_fields__}
        match = {**known.pop("match", {}), **more}
        self._ask("fault", asdict(Fault(operation=operation, code=code, match=match, **known)))

    def forgive(self) -> None:
        """No fault any more."""
        self._ask("forgive")

    def set(self, **settings: float) -> None:
        """See `world.Settings`."""
        self._ask("settings", settings)

    def interrupt(self, id: str, seconds: float = 120.0) -> None:
        """A spot interruption: the notice now, the end in so many seconds."""
        self._ask("interrupt", {"id": id, "seconds": seconds})

    def kill(self, id: str) -> None:
        """The machine dies without notice."""
        self._ask("kill", {"id": id})

    def remove_default_vpc(self, region: str = REGION) -> None:
        """With its subnets; what else is in it keeps it from going."""
        ec2 = self.ec2(region)
        filters = {"Filters": [{"Name": "default-for-az", "Values": ["true"]}]}
        for subnet in ec2.describe_subnets(**filters)["Subnets"]:  # type: ignore[arg-type]
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        for vpc in ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]:
            ec2.delete_vpc(VpcId=vpc["VpcId"])

    def reset(self) -> None:
        """As on the first day."""
        self._ask("reset")

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """All that ever were (see `control.state`), or those in one of these states."""
        found: list[dict[str, Any]] = self._ask("state")["instances"]
        return [each for each in found if not states or each["state"] in states]

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

    def _ask(self, verb: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(asked or {}).encode()
        request = urllib.request.Request(f"{self.endpoint}/_control/{verb}", data, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            raise LookupError(json.loads(refused.read())["error"]) from None
        return found
