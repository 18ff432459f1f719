"""Google's own descriptions of its services, as google-api-python-client ships them: which methods there are, and what each takes.

Format: https://developers.google.com/discovery/v1/reference/apis
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import googleapiclient.discovery_cache  # type: ignore[import-untyped]

from tests.fakes.gcp.wire import Json, Refusal

# what every method takes: https://cloud.google.com/apis/docs/system-parameters
COMMON = {"$.xgafv", "access_token", "alt", "$alt", "callback", "fields", "key", "oauth_token", "prettyPrint"}
COMMON |= {"quotaUser", "uploadType", "upload_protocol", "userIp"}
_PLACE = re.compile(r"\{(\+?)(\w+)\}")
_INTEGER = re.compile(r"-?\d+")


@dataclass(frozen=True)
class Method:
    """`id` as "compute.instances.insert"; `request` and `response` are names of schemas, "" for none."""

    id: str
    verb: str
    route: re.Pattern[str]
    parameters: Mapping[str, Json]
    request: str
    response: str
    scopes: frozenset[str]

    def check(self, arguments: Mapping[str, str]) -> None:
        """Path and query parameters. Raises Refusal."""
        for name, value in arguments.items():
            if name not in self.parameters and name not in COMMON:
                unknown = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
                raise Refusal(400, f"{unknown} Field '{name}' could not be found in request message.", "badRequest")
            if name in self.parameters and not _fits(self.parameters[name], value):
                raise Refusal(400, f"Invalid value for field '{name}': '{value}'. {_wish(self.parameters[name])}")
        for name, described in self.parameters.items():
            if described.get("required") and name not in arguments:
                raise Refusal(400, f"Required field '{name}' not specified", "required")


class Service:
    """One version of one service. `path` is what its methods' paths begin with."""

    def __init__(self, name: str) -> None:
        """`name` as "compute.v1". Raises OSError where there is no such description."""
        folder = Path(googleapiclient.discovery_cache.__file__).parent / "documents"
        document: Json = json.loads((folder / f"{name}.json").read_bytes())
        self.host = str(document["rootUrl"]).removeprefix("https://").rstrip("/")
        self.schemas: Mapping[str, Json] = document["schemas"]
        self.path = "/" + str(document["servicePath"])
        known = [_method(each, self.path) for each in _methods(document["resources"])]
        # the more of a path is spelled out, the earlier it is tried
        self._methods = sorted(known, key=lambda method: len(_PLACE.findall(method.route.pattern)))

    def find(self, verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
        """A method, and the parameters that stand in the path."""
        for method in self._methods if path.startswith(self.path) else ():
            if method.verb == verb and (found := method.route.fullmatch(path)):
                return method, found.groupdict()
        return None


@functools.cache
def service(name: str) -> Service:
    """Read once a process."""
    return Service(name)


def _methods(resources: Mapping[str, Json]) -> Iterator[Json]:
    for resource in resources.values():
        yield from resource.get("methods", {}).values()
        yield from _methods(resource.get("resources", {}))


def _method(described: Json, base: str) -> Method:
    parameters = described.get("parameters", {})
    return Method(
        id=described["id"],
        verb=described["httpMethod"],
        route=re.compile(re.escape(base) + _route(described["path"], parameters)),
        parameters=parameters,
        request=described.get("request", {}).get("$ref", ""),
        response=described.get("response", {}).get("$ref", ""),
        scopes=frozenset(described.get("scopes", ())),
    )


def _route(path: str, parameters: Mapping[str, Json]) -> str:
    """`{name}` is a part of a path, `{+name}` several, as the parameter's pattern says."""
    route, end = "", 0
    for place in _PLACE.finditer(path):
        several, name = place.groups()
        inside = str(parameters[name]["pattern"]).strip("^$") if several else "[^/]+?"
        route += re.escape(path[end : place.start()]) + f"(?P<{name}>{inside})"
        end = place.end()
    return route + re.escape(path[end:])


def _fits(described: Mapping[str, Any], value: str) -> bool:
    if "enum" in described:
        return value in described["enum"]
    if described["type"] == "boolean":
        return value.lower() in ("true", "false")
    if described["type"] == "integer" or "int" in described.get("format", ""):
        low, high = int(described.get("minimum", -(2**63))), int(described.get("maximum", 2**64))
        return bool(_INTEGER.fullmatch(value)) and low <= int(value) <= high
    return "pattern" not in described or bool(re.fullmatch(described["pattern"], value))


def _wish(described: Mapping[str, Any]) -> str:
    if "enum" in described:
        return f"Must be one of {', '.join(described['enum'])}"
    return f"Must be a match of regex '{described['pattern']}'" if "pattern" in described else "Must be a number"
