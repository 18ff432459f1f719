"""How a machine ends itself: Azure goes on billing one that powered itself off, so it first has itself deleted. Pure.

Its token comes from its metadata service, and is good for machines of its resource group only:
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from __future__ import annotations

# https://learn.microsoft.com/rest/api/compute/virtual-machines/delete
VERSION = "2024-07-01"
# the first minutes after the very first launch, the identity's role has no effect yet
SCRIPT = """\
#!/bin/sh
# Deletes this virtual machine.
exec python3 -I - <<'END_OF_PYTHON'
import json, sys, time, urllib.request
METADATA, MANAGEMENT = "http://169.254.169.254/metadata", "{management}"
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
def known(path):
    request = urllib.request.Request(METADATA + path, headers={{"Metadata": "true"}})
    return direct.open(request, timeout=5).read().decode()
deadline = time.monotonic() + 50
while True:
    try:
        name = known("/instance/compute/resourceId?api-version=2021-02-01&format=text")
        text = known("/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F")
        request = urllib.request.Request(MANAGEMENT + name + "?api-version={version}", method="DELETE")
        request.add_header("Authorization", "Bearer " + json.loads(text)["access_token"])
        urllib.request.urlopen(request, timeout=20)
        break
    except Exception as error:
        print("it can't be deleted yet:", error, file=sys.stderr)
        if time.monotonic() > deadline:
            sys.exit(1)
        time.sleep(5)
END_OF_PYTHON
"""


def script(management: str) -> str:
    """`management` is Resource Manager's URL."""
    return SCRIPT.format(management=management, version=VERSION)
