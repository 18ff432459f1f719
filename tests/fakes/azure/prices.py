"""The list of retail prices: by pages, with a filter that minds the case, Windows and low priority beside Linux and spot.

https://learn.microsoft.com/en-us/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote

from tests.fakes.azure import catalogue
from tests.fakes.azure.calls import Answer, App, Environ, Json, StartResponse, send
from tests.fakes.azure.catalogue import FAMILIES, LOCATIONS, Size
from tests.fakes.azure.world import World

PATH = "/api/retail/prices"
PAGE = 1000
SERVICE = "Virtual Machines"
# USD an hour that Windows costs more, a core
WINDOWS = 0.046
LOW_PRIORITY = 0.2
# what can be filtered by, and the field of a row that it means: "API filters" of the page above
FILTERS = {
    **{
        name: name
        for name in ("armRegionName", "location", "meterId", "meterName", "productId", "productName", "skuId")
    },
    **{name: name for name in ("skuName", "serviceName", "serviceId", "serviceFamily", "armSkuName")},
    "priceType": "type",
}
_TERM = re.compile(r"\s*(?:(contains|startswith)\(\s*(\w+)\s*,\s*'([^']*)'\s*\)|(\w+)\s+(eq|ne)\s+'([^']*)')\s*")
_SPLIT = re.compile(r"\s+and\s+(?![^(]*\))")


class Retail:
    """A WSGI application: its path, and everything else to `app`. Nobody has to log in."""

    def __init__(self, app: App, world: World) -> None:
        self._app, self._world = app, world

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if str(environ.get("PATH_INFO", "")) != PATH:
            return self._app(environ, start_response)
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        with self._world.lock:
            self._world.calls["retail_prices.list"] += 1
        fault = self._world.faults.take("retail_prices.list", {})
        threading.Event().wait(fault.delay if fault else 0.0)
        if fault and fault.code:
            return send(_refused(fault.message or fault.code, fault.http_status), start_response)
        base = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{PATH}"
        return send(page(query, base), start_response)


def page(query: dict[str, str], base: str) -> Answer:
    """One of the answers that together are the list."""
    unknown = set(query) - {"api-version", "$filter", "$skip", "currencyCode", "meterRegion", "$top"}
    currency = query.get("currencyCode", "USD").strip("'")
    if unknown or currency != "USD" or not query.get("$skip", "0").isdecimal():
        return _refused(f"the emulated price list knows no {', '.join(sorted(unknown)) or currency}")
    try:
        found = [row for row in _rows() if _fits(row, query.get("$filter", ""))]
    except ValueError as wrong:
        return _refused(f"Invalid OData parameters supplied: {wrong}")
    start = int(query.get("$skip", "0"))
    items = found[start : start + PAGE]
    more = start + PAGE < len(found)
    following = "".join(f"&{name}={quote(value)}" for name, value in query.items() if name != "$skip")
    link = f"{base}?$skip={start + PAGE}{following}" if more else None
    known = {"BillingCurrency": currency, "CustomerEntityId": "Default", "CustomerEntityType": "Retail"}
    return Answer(200, {**known, "Items": items, "NextPageLink": link, "Count": len(items)})


def _refused(message: str, status: int = 400) -> Answer:
    return Answer(status, {"Error": {"Code": str(status), "Message": message}})


def price(size: Size, location: str, *, spot: bool = False) -> float:
    """USD an hour with Linux. Where spot lies is chance that never changes."""
    cost = size.price * LOCATIONS[location].factor
    if not spot:
        return round(cost, 6)
    chance = zlib.crc32(f"{location} {size.name}".encode()) % 100 / 100
    return round(cost * size.spot * (0.8 + 0.4 * chance), 6)


def _fits(row: Json, text: str) -> bool:
    """Names and values as they are written: `Virtual machines` isn't `Virtual Machines`. Raises ValueError."""
    for term in _SPLIT.split(text) if text else []:
        if not (found := _TERM.fullmatch(term)):
            raise ValueError(term)
        function, field, part, name, operator, value = found.groups()
        if (field or name) not in FILTERS:
            raise ValueError(f"there is no {field or name}")
        known = str(row[FILTERS[field or name]])
        if function and not (part in known if function == "contains" else known.startswith(part)):
            return False
        if operator and (known == value) != (operator == "eq"):
            return False
    return True


def _rows() -> Iterator[Json]:
    for place in LOCATIONS.values():
        for size in catalogue.sizes(place.name):
            yield from _of(size, place.name)
        yield _disk(place.name)


def _of(size: Size, location: str) -> Iterator[Json]:
    linux, extra = price(size, location), round(size.cores * WINDOWS, 6)
    yield _row(size, location, "", linux)
    yield _row(size, location, "", linux + extra, windows=True)
    for term, share in (("1 Year", 0.6), ("3 Years", 0.4)):
        hours = 8760 * int(term[0])
        reservation = _row(size, location, "", round(linux * share * hours, 2))
        yield {**reservation, "type": "Reservation", "reservationTerm": term}
    yield {**_row(size, location, "", round(linux * 0.5, 6)), "type": "DevTestConsumption"}
    if size.spot:
        cheap = price(size, location, spot=True)
        yield _row(size, location, " Spot", cheap)
        yield _row(size, location, " Spot", round(cheap + extra * 0.2, 6), windows=True)
        yield _row(size, location, " Low Priority", round(linux * LOW_PRIORITY, 6))


def _row(size: Size, location: str, market: str, cost: float, *, windows: bool = False) -> Json:
    place = LOCATIONS[location]
    product = f"Virtual Machines {FAMILIES[size.family]}{' Windows' if windows else ''}"
    text = f"{location} {size.name} {market} {windows}"
    identity = f"{zlib.crc32(text.encode()):08x}"
    return {
        **{"currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": cost, "unitPrice": cost},
        **{"armRegionName": location, "location": place.display, "effectiveStartDate": "2025-01-01T00:00:00Z"},
        **{"meterId": f"{identity}-0000-5000-8000-000000000000", "meterName": f"{size.short}{market}"},
        **{
            "productId": f"DZH318Z0{identity[:4].upper()}",
            "skuId": f"DZH318Z0{identity[:4].upper()}/{identity[4:].upper()}",
        },
        **{"productName": product, "skuName": f"{size.short}{market}", "serviceName": SERVICE},
        **{"serviceId": "DZH313Z7MMC8", "serviceFamily": "Compute", "unitOfMeasure": "1 Hour"},
        **{"type": "Consumption", "isPrimaryMeterRegion": True, "armSkuName": size.name},
    }


def _disk(location: str) -> Json:
    """The one row of another service: who asks for all gets more than machines."""
    size = next(iter(catalogue.SIZES.values()))
    row = _row(size, location, "", 1.54)
    more = {
        "serviceName": "Storage",
        "productName": "Standard SSD Managed Disks",
        "skuName": "E4 LRS",
        "armSkuName": "",
    }
    return {**row, **more, "meterName": "E4 LRS Disk", "serviceFamily": "Storage", "unitOfMeasure": "1/Month"}
