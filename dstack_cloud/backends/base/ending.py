"""How a machine ends itself where a poweroff leaves it in existence: it first has itself deleted. Pure.

Who it is, and a token, its cloud's metadata service tells it: nothing secret is in the script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# In the first minutes after the very first launch, a machine's role has no effect yet. What says 404 deleted it before.
SCRIPT = """\
#!/bin/sh
# Deletes this machine.
exec python3 -I - <<'END_OF_PYTHON'
import json, sys, time, urllib.error, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
def known(path):
    request = urllib.request.Request({metadata!r} + path, headers={headers!r})
    return direct.open(request, timeout=5).read().decode()
deadline = time.monotonic() + 50
while True:
    try:
        itself = {service!r} + {itself}
        token = json.loads(known({token!r}))["access_token"]
        request = urllib.request.Request(itself, method="DELETE", headers={{"Authorization": "Bearer " + token}})
        urllib.request.urlopen(request, timeout=20)
        break
    except Exception as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == 404 and error.url.startswith({service!r}):
            break
        print("it can't be deleted yet:", error, file=sys.stderr)
        if time.monotonic() > deadline:
            sys.exit(1)
        time.sleep(5)
END_OF_PYTHON
"""


@dataclass(frozen=True)
class Metadata:
    """A metadata service: where it is, what it wants of whoever asks, and what it is asked for a token."""

    url: str
    headers: Mapping[str, str]
    token: str


def script(metadata: Metadata, service: str, itself: str) -> str:
    """`service` is the URL of the cloud's API, `itself` what follows it in the URL whose DELETE ends the machine: an expression of
    Python, in which `known(path)` is what the metadata service answers."""
    return SCRIPT.format(
        metadata=metadata.url, headers=dict(metadata.headers), token=metadata.token, service=service, itself=itself
    )
