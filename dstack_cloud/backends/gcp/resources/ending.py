"""How a machine ends itself: Google goes on billing the disk of one that powered itself off, so it first has itself deleted. Pure.

Its token comes from its metadata service: https://cloud.google.com/compute/docs/access/authenticate-workloads#applications
"""

from __future__ import annotations

COMPUTE = "https://compute.googleapis.com"
# in the first minutes after the very first launch, the account's role has no effect yet
SCRIPT = """\
#!/bin/sh
# Deletes this machine.
exec python3 -I - <<'END_OF_PYTHON'
import json, sys, time, urllib.error, urllib.request
METADATA, COMPUTE = "http://169.254.169.254/computeMetadata/v1", "{compute}/compute/v1"
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
def known(path):
    request = urllib.request.Request(METADATA + path, headers={{"Metadata-Flavor": "Google"}})
    return direct.open(request, timeout=5).read().decode()
deadline = time.monotonic() + 50
while True:
    try:
        zone = known("/instance/zone").rpartition("/")[2]
        place = "/projects/" + known("/project/project-id") + "/zones/" + zone + "/instances/" + known("/instance/name")
        token = json.loads(known("/instance/service-accounts/default/token"))["access_token"]
        request = urllib.request.Request(COMPUTE + place, method="DELETE", headers={{"Authorization": "Bearer " + token}})
        urllib.request.urlopen(request, timeout=20)
        break
    except Exception as error:
        if isinstance(error, urllib.error.HTTPError) and error.code == 404 and error.url.startswith(COMPUTE):
            break
        print("it can't be deleted yet:", error, file=sys.stderr)
        if time.monotonic() > deadline:
            sys.exit(1)
        time.sleep(5)
END_OF_PYTHON
"""


def script(endpoint: str) -> str:
    """`endpoint` is an emulator's URL, "" for Google Cloud itself."""
    return SCRIPT.format(compute=endpoint or COMPUTE)
