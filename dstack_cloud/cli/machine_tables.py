"""Offers and machines as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dstack_cloud.cli.output import age, count, hourly, money, print_drawn, table

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import MachineView, OfferView, RunnerView

OFFER_COLUMNS = ("BACKEND", "REGION", "ZONE", "TYPE", "RESOURCES", "KIND", "PRICE>")
MACHINE_COLUMNS = ("RUN", "BACKEND", "WHERE", "TYPE", "STATUS", "SINCE", "PRICE>", "COST>", "ID")
ORPHAN_COLUMNS = ("ID", "BACKEND", "REF")
RUNNER_COLUMNS = ("NAME", "BACKEND", "RESOURCES", "JOBS>", "BUSY WITH")


def print_offers(offers: Sequence[OfferView]) -> None:
    print_drawn(table(OFFER_COLUMNS, [_offer_row(offer) for offer in offers]))


def _offer_row(offer: OfferView) -> list[str]:
    return [
        offer["backend"],
        offer["region"] or "-",
        offer["zone"] or "-",
        offer["instance_type"],
        offer["resources"],
        "spot" if offer["spot"] else "on-demand",
        hourly(offer["price"]),
    ]


def print_machines(machines: Sequence[MachineView]) -> None:
    print_drawn(table(MACHINE_COLUMNS, [_machine_row(machine) for machine in machines]))


def _machine_row(machine: MachineView) -> list[str]:
    return [
        machine["run"],
        machine["backend"],
        machine["zone"] or machine["region"] or "-",
        machine["instance_type"] + (" spot" if machine["spot"] else ""),
        machine["status"],
        "-" if machine["created_at"] is None else age(machine["created_at"]),
        hourly(machine["price"]),
        money(machine["cost"]),
        machine["ref"] or machine["id"],
    ]


def print_orphans(machines: Sequence[MachineView]) -> None:
    rows = [[machine["id"] or "?", machine["backend"], machine["ref"]] for machine in machines]
    print_drawn(table(ORPHAN_COLUMNS, rows))


def print_runners(runners: Sequence[RunnerView]) -> None:
    print_drawn(table(RUNNER_COLUMNS, [_runner_row(runner) for runner in runners]))


def _runner_row(runner: RunnerView) -> list[str]:
    doing = ", ".join(runner["busy"]) or runner["problem"] or "-"
    slots = f"{len(runner['busy'])} of {count(runner['slots'], 'job')}"
    return [runner["name"], runner["backend"], runner["resources"] or "?", slots, doing]
