"""`dstack config`: whether what is configured can work."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.client import Client

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import FindingView

SUBCOMMANDS = ("check", "path")

app = application("Look at the configuration, DSTACK_HOME/config.yaml.")


@app.callback()
def config() -> None:
    """Look at the configuration, DSTACK_HOME/config.yaml."""


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check each backend (credentials, permissions, what it needs) and the store. Exits with 1 where something is wrong."""
    findings = Client().findings()
    if as_json:
        output.print_json(findings)
    else:
        for finding in findings:
            _show(finding)
    if not all(finding["ok"] for finding in findings):
        raise typer.Exit(1)


@app.command()
def path() -> None:
    """Print where the configuration is."""
    print(Client(autostart=False).home / "config.yaml")


def _show(finding: FindingView) -> None:
    print(f"{'ok  ' if finding['ok'] else 'FAIL'}  {finding['subject']}: {finding['text']}")
    if finding["fix"] and not finding["ok"]:
        print(textwrap.indent(finding["fix"], "      "))
