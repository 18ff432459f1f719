"""Listings: filtered, ordered, and a page at a time.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from tests.fakes.gcp import filters
from tests.fakes.gcp.calls import Call
from tests.fakes.gcp.places import LINK
from tests.fakes.gcp.wire import Json, Refusal

PAGE = 500
NO_RESULTS = "NO_RESULTS_ON_PAGE"


def page(call: Call, found: Sequence[Json], kind: str) -> Json:
    """`kind` as "instance"."""
    items, token = _cut(call, _wanted(call, found))
    top = _top(call, f"compute#{kind}List", token)
    return {**top, "items": items} if items else top


def aggregated(
    call: Call, found: Mapping[str, Sequence[Json]], kind: str, scopes: Sequence[str], silent: Sequence[str] = ()
) -> Json:
    """Of everywhere: {"zones/z": {"instances": […]}}; of scopes without any, and of those that don't answer, it says so."""
    plural = f"{kind}s"
    answering = sorted(set(found) - set(silent))
    everything = [(scope, each) for scope in answering for each in _wanted(call, found[scope])]
    items, token = _cut(call, everything)
    shown: dict[str, Json] = {}
    for scope, each in items:
        shown.setdefault(scope, {plural: []})[plural].append(each)
    empty = {scope: {"warning": _nothing(scope)} for scope in scopes if scope not in shown}
    lacking = {scope: {"warning": _unreachable(scope)} for scope in silent}
    named = {"unreachables": [LINK + f"projects/{call.project}/{scope}" for scope in silent]} if silent else {}
    return {**_top(call, f"compute#{kind}AggregatedList", token), **named, "items": {**empty, **shown, **lacking}}


def _wanted(call: Call, found: Sequence[Json]) -> list[Json]:
    test = filters.parse(call.arguments.get("filter", ""))
    kept = [each for each in found if test(each)]
    order = call.arguments.get("orderBy", "name")
    if order == "creationTimestamp desc":
        return sorted(kept, key=lambda each: str(each["creationTimestamp"]), reverse=True)
    if order != "name":
        raise Refusal(
            400,
            f"Invalid value for field 'orderBy': '{order}'. Only 'name' and 'creationTimestamp desc' are supported.",
        )
    return sorted(kept, key=lambda each: str(each["name"]))


def _cut(call: Call, found: list[Json] | list[tuple[str, Json]]) -> tuple[list[Json], str]:
    start, size = _start(call), int(call.arguments.get("maxResults", PAGE))
    if size > PAGE:
        raise Refusal(
            400, f"Invalid value for field 'maxResults': '{size}'. Values must be within the range: [0, {PAGE}]"
        )
    end = start + size
    token = base64.urlsafe_b64encode(f"after:{end}".encode()).decode() if size > 0 and end < len(found) else ""
    return found[start:end], token  # type: ignore[return-value]


def _start(call: Call) -> int:
    token = call.arguments.get("pageToken", "")
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("after:")) if token else 0
    except (binascii.Error, ValueError):
        raise Refusal(400, f"Invalid value for field 'pageToken': '{token}'. Unknown page token.") from None


def _top(call: Call, kind: str, token: str) -> Json:
    more = {"nextPageToken": token} if token else {}
    return {"kind": kind, "id": call.path, "selfLink": LINK + call.path, **more}


def _nothing(scope: str) -> Json:
    message = f"There are no results for scope '{scope}' on this page."
    return {"code": NO_RESULTS, "message": message, "data": [{"key": "scope", "value": scope}]}


def _unreachable(scope: str) -> Json:
    return {
        "code": "UNREACHABLE",
        "message": f"{scope} could not be reached.",
        "data": [{"key": "scope", "value": scope}],
    }
