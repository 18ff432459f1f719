"""What machines cost, by Azure's list of retail prices: the cheapest entry of each size, on demand and spot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from dstack_cloud.backends.azure.client import AzureClient

VERSION = "2023-01-01-preview"
# what a meter's or a product's name says of machines that aren't Linux on demand or spot
OTHER_PRODUCTS = ("windows", "cloudservices", "cloud services", "dedicated host")
LOW_PRIORITY, SPOT = "Low Priority", "Spot"
HOURLY = "1 Hour"

# {size: {"spot" or "on_demand": USD per hour}}
Prices = dict[str, dict[str, float]]


def price_list(client: AzureClient, region: str) -> Prices:
    """Of Linux, as the price list says it to everybody, without what a subscription has agreed on. Filters are case-sensitive:
    https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices"""
    wanted = {"serviceName": "Virtual Machines", "armRegionName": region, "priceType": "Consumption"}
    query = {
        "api-version": VERSION,
        "currencyCode": "USD",
        "$filter": " and ".join(f"{field} eq '{value}'" for field, value in wanted.items()),
    }
    pages = client.price_pages(f"/api/retail/prices?{urlencode(query)}", f"price list of {region}")
    return read(entry for page in pages for entry in page)


def read(entries: Iterable[Mapping[str, Any]]) -> Prices:
    """What of the list is the price of a machine."""
    found: Prices = {}
    for entry in entries:
        meter, product = str(entry.get("meterName", "")), str(entry.get("productName", "")).lower()
        if (
            LOW_PRIORITY in meter
            or any(other in product for other in OTHER_PRODUCTS)
            or entry.get("unitOfMeasure") != HOURLY
            or entry.get("currencyCode") != "USD"
            or entry.get("type") != "Consumption"
        ):
            continue
        name, dollars = str(entry.get("armSkuName", "")), float(entry.get("retailPrice", 0))
        # what isn't sold yet is listed at 0
        if name and dollars > 0:
            kind = "spot" if SPOT in meter else "on_demand"
            known = found.setdefault(name, {})
            known[kind] = min(dollars, known.get(kind, dollars))
    return found
