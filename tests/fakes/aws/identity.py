"""What EC2's metadata service says of a machine beside what every sandbox machine's does: its id, and whom it may act as."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from tests.fakes import seaweed
from tests.fakes.bodies import Birth

CREDENTIALS_SECONDS = 6 * 3600
METADATA = "/latest/meta-data/"


def documents(birth: Birth, address: str) -> Mapping[str, str]:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html"""
    known = {f"{METADATA}instance-id": birth.id, "/latest/user-data": birth.user_data}
    if address:
        known[f"{METADATA}public-ipv4"] = address
    if birth.identity:
        # a server of SeaweedFS knows lasting keys only; it takes an empty token for none
        credentials = {
            **{"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": _iso(0), "Expiration": _iso(CREDENTIALS_SECONDS)},
            **{"AccessKeyId": seaweed.KEY, "SecretAccessKey": seaweed.SECRET, "Token": ""},
        }
        known[f"{METADATA}iam/security-credentials/{birth.identity}"] = json.dumps(credentials)
    return known


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
