"""`dstack server`: the background server, which commands start by themselves."""

from __future__ import annotations

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.client import Client

SUBCOMMANDS = ("status", "start", "stop")

app = application("Look at, start or stop the background server. Commands start it by themselves; it ends when idle.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show whether it runs, and what it does."""
    client = Client(autostart=False)
    if not client.server_is_up():
        if as_json:
            output.print_json({"running": False, "home": str(client.home)})
        else:
            print(f"not running ({client.home})")
        return
    view = client.server()
    if as_json:
        output.print_json({"running": True, **view})
        return
    print(f"running since {output.age(view['started_at'])}, process {view['pid']}, version {view['version']}")
    print(f"active jobs: {view['active_jobs']}")
    print(f"state: {view['home']}")


@app.command()
def start() -> None:
    """Start it, if it doesn't run."""
    view = Client().server()
    print(f"running, process {view['pid']}")


@app.command()
def stop() -> None:
    """Stop it. Running jobs go on; the next command starts it again and finds them."""
    print("stopped" if Client(autostart=False).stop_server() else "it wasn't running")
