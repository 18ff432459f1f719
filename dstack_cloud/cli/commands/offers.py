"""`dstack offers`: what fits, where, for how much."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dstack_cloud.cli import machine_tables, output, run_request
from dstack_cloud.cli.application import AsJson, application, takes
from dstack_cloud.client import Client

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import OffersRequest, OffersView

SHOWN = 20

app = application()

Gpu = Annotated[str | None, typer.Option(metavar="GPU", help="Count, name or memory: 2, V100, V100:2, 16GB.")]
Cpu = Annotated[int | None, typer.Option(min=1, max=1_000_000, metavar="N", help="CPUs at least.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", show_default=False, help="Memory at least: 16GB.")]
Disk = Annotated[str, typer.Option(metavar="SIZE", show_default=False, help="Disk at least: 100GB.")]
Region = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only there. May be repeated.")]
Backend = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only there. May be repeated.")]
Spot = Annotated[bool | None, typer.Option("--spot/--on-demand", help="Which kind of instance.", show_default=False)]
MaxPrice = Annotated[float | None, typer.Option(min=0, metavar="USD", help="At most this much an hour.")]
Everything = Annotated[bool, typer.Option("-a", "--all", help=f"All, not only the {SHOWN} cheapest.")]


class Options(NamedTuple):
    gpu: Gpu = None
    cpu: Cpu = None
    memory: Memory = ""
    disk: Disk = ""
    region: Region = None
    backend: Backend = None
    spot: Spot = None
    max_price: MaxPrice = None
    everything: Everything = False
    as_json: AsJson = False


@app.command()
@takes(Options)
def offers(_context: typer.Context, options: Options) -> None:
    """List what machines fit, where, and for how much; cheapest first."""
    found = Client().offers(_request(options))
    if options.as_json:
        output.print_json(found)
    else:
        _show(found, None if options.everything else SHOWN)
    if not found["offers"]:
        raise typer.Exit(1)


def _request(options: Options) -> OffersRequest:
    return {
        "overrides": run_request.overrides(options.backend, options.spot, options.max_price, options.gpu),
        "cpu": options.cpu,
        "memory": options.memory,
        "disk": options.disk,
        "regions": options.region or [],
    }


def _show(found: OffersView, limit: int | None) -> None:
    offers = found["offers"]
    if offers:
        machine_tables.print_offers(offers[:limit])
    if limit is not None and len(offers) > limit:
        print(f"and {len(offers) - limit} more (-a shows all)")
    for line in _sources(found):
        print(line)
    for refusal in found["refusals"]:
        hint = f" ({refusal['hint']})" if refusal["hint"] else ""
        print(f"{refusal['backend']}: {refusal['summary']}{hint}", file=sys.stderr)
    if not offers and not found["refusals"]:
        print("nothing fits: ask for less, or configure another backend", file=sys.stderr)


def _sources(found: OffersView) -> Iterator[str]:
    """Where the prices of each backend that offers something come from, and how old they are."""
    offering = {offer["backend"] for offer in found["offers"]}
    for backend in sorted(found["priced_at"].keys() | (found["price_lists"].keys() & offering)):
        source, when = found["price_lists"].get(backend, ""), found["priced_at"].get(backend)
        age = "couldn't be read" if when is None else f"read {output.age(when)}, in US dollars"
        yield f"prices of {backend}: {f'{source}, ' if source else ''}{age}"
