"""`runner.pyz serve` and `runner.pyz connect`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dstack_cloud.runner_bootstrap.payload.machine import METADATA, Machine


def main() -> int:
    options = _parser().parse_args()
    # each imports only its own side: `connect` is started for every new channel
    if options.command == "connect":
        from dstack_cloud.runner_bootstrap.payload.connect import connect

        return connect(options.socket, options.wait)
    from dstack_cloud.runner_bootstrap.payload.serve import serve

    folder, socket = Path(options.folder).absolute(), Path(options.socket).absolute()
    machine = Machine(options.metadata, options.own_machine, options.setups)
    return serve(folder, socket, machine, options.idle_timeout, options.on_end)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runner.pyz", description="Runs one job on this machine.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve one job on a Unix socket, in the foreground", allow_abbrev=False)
    serve.add_argument("--folder", required=True, help="where the job and all that is known of it lie")
    serve.add_argument("--socket", required=True)
    serve.add_argument("--idle-timeout", type=float, metavar="SECONDS", help="end where no job has come by then")
    serve.add_argument(
        "--metadata", metavar="URL", default=METADATA, help="the cloud's metadata service (default: %(default)s)"
    )
    serve.add_argument(
        "--own-machine",
        action="store_true",
        help="nobody else's containers run here: change the firewall for the job's",
    )
    serve.add_argument(
        "--setups", metavar="DIR", default="", help="where what setups made is kept for later jobs (default: nowhere)"
    )
    serve.add_argument(
        "--on-end", nargs=argparse.REMAINDER, default=[], metavar="COMMAND", help="runs after the job was collected"
    )
    connect = commands.add_parser(
        "connect", help="copy bytes between stdin, stdout and a runner's socket", allow_abbrev=False
    )
    connect.add_argument("--socket", required=True)
    connect.add_argument(
        "--wait", type=float, default=10.0, metavar="SECONDS", help="for the socket to appear (default 10)"
    )
    return parser
