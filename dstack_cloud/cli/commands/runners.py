"""`dstack runners`: machines in use, and those of one's own that wait for work."""

from __future__ import annotations

import sys

from dstack_cloud.cli import machine_tables, output
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.client import Client

app = application()


@app.command()
def runners(as_json: AsJson = False) -> None:
    """List machines: your own, with what each does, and those made for jobs."""
    client = Client()
    own, made = client.runners(), client.instances()
    names = {(runner["backend"], runner["name"]) for runner in own}
    made = [machine for machine in made if (machine["backend"], machine["instance_type"]) not in names]
    if as_json:
        output.print_json({"own": own, "made": made})
        return
    if own:
        machine_tables.print_runners(own)
    if own and made:
        print()
    if made:
        machine_tables.print_machines(made)
    if not own and not made:
        print("no machines: a job's own is made when it runs; `settings: ssh:` lists yours", file=sys.stderr)
