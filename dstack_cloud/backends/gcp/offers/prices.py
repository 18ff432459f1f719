"""What machines cost: the sum of what the price list says of their processors, their memory, their GPUs, and the local SSDs that
some types have built in.

The Cloud Billing Catalog: https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list. Its entries are told apart by
their descriptions, as https://cloud.google.com/skus/sku-groups lists them. Disks and traffic aren't in the sum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.kinds import GPUS, SHARED_CORE, family, split

# https://cloud.google.com/skus: Compute Engine
SERVICE = "services/6F81-5844-456A"
CURRENCY = "USD"
PAGE = "5000"
GIB = 2**30
ON_DEMAND, SPOT = "OnDemand", "Preemptible"
PLACE = re.compile(r" running in .*$")
SPOT_WORDS = re.compile(r"^(?:Spot )?Preemptible | attached to (?:Spot )?(?:Preemptible )?VMs?\b")
# local SSDs of the newer families have entries of their own ("C4 Instance Local SSD"), those of the others one for all
LOCAL_SSD, ANY_LOCAL_SSD = "Local SSD", "SSD backed Local Storage"
LOCAL_STORAGE = re.compile(rf"^{ANY_LOCAL_SSD}(?: attached to (?:Spot )?(Preemptible) VMs)?(?: in .*)?$")
# what is priced for a month: https://cloud.google.com/compute/disks-image-pricing
HOURS_OF_A_MONTH = 730
UNIT_HOURS = {"h": 1, "GiBy.h": 1, "GiBy.mo": HOURS_OF_A_MONTH}
# what the price list calls a family, or some types of one, where it isn't the family's own name in capitals
NAMES = {
    "n1": ("N1 Predefined Instance",),
    "n2d": ("N2D AMD Instance",),
    "c2": ("Compute optimized Instance", "Compute optimized"),
    "c2d": ("C2D AMD Instance",),
    "t2d": ("T2D AMD Instance",),
    "a3-megagpu": ("A3Plus Instance",),
    "a3-ultragpu": ("A3Ultra Instance",),
}
# GPUs of which it has another name, too
GPU_NAMES = {"nvidia-h100-mega-80gb": ("Nvidia H100 80GB Plus",)}

# {region: {"OnDemand" or "Preemptible": {what it is: USD per hour, of memory and local SSDs for a GiB}}}
Prices = dict[str, dict[str, dict[str, float]]]


def price_list(client: GcpClient) -> Prices:
    """All regions at once: Google tells no fewer."""
    return read(_skus(client))


def read(skus: Iterable[Mapping[str, Any]]) -> Prices:
    """What of the list is the price of a part of a machine."""
    found: Prices = {}
    for sku in skus:
        usage, what = _part(sku)
        dollars = _dollars(sku)
        if usage not in (ON_DEMAND, SPOT) or not what or dollars is None:
            continue
        for region in sku.get("serviceRegions", []):
            found.setdefault(region, {}).setdefault(usage, {})[what] = dollars
    return found


def price(prices: Mapping[str, Mapping[str, float]], name: str, size: Mapping[str, Any], *, spot: bool) -> float | None:
    """USD per hour of an instance type in the region whose prices these are. None where any part's isn't known."""
    known, kind = prices.get(SPOT if spot else ON_DEMAND, {}), split(name).machine_type
    names = NAMES.get(kind.rpartition("-")[0]) or NAMES.get(family(kind)) or (f"{family(kind).upper()} Instance",)
    parts = [
        (_first(known, names, "Core"), SHARED_CORE.get(kind, float(size["cpu"]))),
        (_first(known, names, "Ram"), size["memory"] / GIB),
    ]
    if size["gpus"] is not None:
        accelerator, count = size["gpus"]
        gpus = (GPUS[accelerator].sku, *GPU_NAMES.get(accelerator, ()))
        parts.append((_first(known, gpus, "GPU"), float(count)))
    if ssd := size.get("ssd", 0):
        parts.append((_first(known, names, LOCAL_SSD) or known.get(ANY_LOCAL_SSD), ssd / GIB))
    each = [amount * count for amount, count in parts if amount is not None]
    # a thousandth of a cent is what the list itself is exact to
    return round(sum(each), 6) if len(each) == len(parts) else None


def _first(known: Mapping[str, float], names: Iterable[str], part: str) -> float | None:
    return next((known[name] for each in names if (name := f"{each} {part}") in known), None)


def _skus(client: GcpClient) -> Iterator[Mapping[str, Any]]:
    token = ""
    while True:
        more = {"pageToken": token} if token else {}
        page = client.rest("billing", "GET", f"/v1/{SERVICE}/skus", currencyCode=CURRENCY, pageSize=PAGE, **more)
        yield from page.get("skus", [])
        token = page.get("nextPageToken", "")
        if not token:
            return


def _part(sku: Mapping[str, Any]) -> tuple[str, str]:
    """(how it is used, what it is). Local SSDs of spot machines are listed among what is on demand: their name tells them apart."""
    usage, description = str(sku.get("category", {}).get("usageType", "")), str(sku.get("description", ""))
    if found := LOCAL_STORAGE.match(description):
        return (SPOT if found[1] else usage), ANY_LOCAL_SSD
    return usage, _what(description)


def _what(description: str) -> str:
    """ "N1 Predefined Instance Core" of "Spot Preemptible N1 Predefined Instance Core running in Americas"; "" for what isn't a
    part of a machine."""
    text = SPOT_WORDS.sub("", PLACE.sub("", description)).strip()
    return text if text.endswith((" Core", " Ram", " GPU", f" {LOCAL_SSD}")) and " Custom " not in f" {text} " else ""


def _dollars(sku: Mapping[str, Any]) -> float | None:
    """For an hour, as https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list#Money spells it."""
    for info in sku.get("pricingInfo", []):
        expression = info.get("pricingExpression", {})
        hours = UNIT_HOURS.get(expression.get("usageUnit", ""))
        if hours is None:
            continue
        amounts = [_amount(rate.get("unitPrice", {})) for rate in expression.get("tieredRates", [])]
        # what is free up to some amount has a first tier of nothing
        paid = [amount for amount in amounts if amount > 0]
        if paid:
            return paid[0] / hours
    return None


def _amount(money: Mapping[str, Any]) -> float:
    return (
        int(money.get("units") or 0) + int(money.get("nanos") or 0) / 1e9
        if money.get("currencyCode") == CURRENCY
        else 0.0
    )
