"""A machine's own identity, where obstore would look for it in places that are there on some machines only.

Google Cloud: https://cloud.google.com/compute/docs/access/authenticate-workloads#applications. By its address, which no machine's
names lead astray; obstore first reads files that a person may have left, then asks for a name.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from dstack_cloud import errors

METADATA = "http://169.254.169.254"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path
ANSWER_SECONDS = 10.0


def own_identity(url: str, metadata: str = METADATA) -> Callable[[], dict[str, Any]] | None:
    """A credential provider for a store; None where obstore finds the machine's identity by itself."""
    return (lambda: _google(metadata)) if urlsplit(url).scheme == "gs" else None


def _google(metadata: str) -> dict[str, Any]:
    """Raises StoreError."""
    request = urllib.request.Request(f"{metadata}{TOKEN}", headers={"Metadata-Flavor": "Google"})  # noqa: S310
    # a company's proxy doesn't know the machine
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    now = datetime.now(timezone.utc)
    try:
        with direct.open(request, timeout=ANSWER_SECONDS) as answer:
            found = json.loads(answer.read())
        return {"token": found["access_token"], "expires_at": now + timedelta(seconds=int(found["expires_in"]))}
    except urllib.error.HTTPError as refused:
        raise errors.StoreError(
            f"the machine has no service account (its metadata service says {refused.code})"
        ) from None
    except (OSError, ValueError, KeyError) as wrong:
        raise errors.StoreError(f"the machine's metadata service gives no token: {wrong}") from wrong
