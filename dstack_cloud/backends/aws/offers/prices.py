"""What machines cost: spot machines by EC2's history of prices, others by AWS's price list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.errors import translated

PRODUCT = "Linux/UNIX"

# {type: USD per hour}
Prices = dict[str, float]
# {zone: {type: USD per hour}}
SpotPrices = dict[str, Prices]


def spot_prices(client: AwsClient, region: str, names: Sequence[str]) -> SpotPrices:
    """The price in each zone now. A zone that isn't named doesn't have the type as a spot machine."""
    found: dict[tuple[str, str], tuple[datetime, float]] = {}
    with translated(region):
        pages = client.ec2(region).get_paginator("describe_spot_price_history")
        wanted: Any = {"InstanceTypes": list(names)} if names else {}
        for page in pages.paginate(
            StartTime=datetime.now(timezone.utc), ProductDescriptions=[PRODUCT, f"{PRODUCT} (Amazon VPC)"], **wanted
        ):
            for entry in page["SpotPriceHistory"]:
                place = entry["AvailabilityZone"], str(entry["InstanceType"])
                latest = entry["Timestamp"], float(entry["SpotPrice"])
                found[place] = max(latest, found.get(place, latest))
    zones: SpotPrices = {}
    for (zone, name), (_, dollars) in found.items():
        zones.setdefault(zone, {})[name] = dollars
    return zones


def on_demand_prices(client: AwsClient, region: str) -> Prices:
    """USD per hour of Linux without extras on shared hardware."""
    wanted = {
        "regionCode": region,
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    found: Prices = {}
    with translated(f"price list of {region}"):
        pages = client.pricing().get_paginator("get_products")
        for page in pages.paginate(
            ServiceCode="AmazonEC2",
            Filters=[{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()],
        ):
            for text in page["PriceList"]:
                found.update(_price(json.loads(text)))
    return found


def _price(product: Mapping[str, Any]) -> Prices:
    """{type: USD per hour} of one entry of the price list; empty where it has none by the hour in dollars."""
    name = product.get("product", {}).get("attributes", {}).get("instanceType")
    terms = product.get("terms", {}).get("OnDemand", {})
    dimensions = [each for term in terms.values() for each in term["priceDimensions"].values()]
    amounts = [float(each["pricePerUnit"]["USD"]) for each in dimensions if "USD" in each["pricePerUnit"]]
    # what is reserved or pre-paid is listed at 0
    return {name: amounts[0]} if name and amounts and amounts[0] > 0 else {}
