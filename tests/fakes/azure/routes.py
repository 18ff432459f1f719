"""Which requests Resource Manager knows: method, path, api-version and name, read from the text of Microsoft's own SDKs.

Their `operations` modules build every request in a function of its own. Read as text: importing 200,000 lines takes seconds.
Three small services whose SDKs aren't installed are written down here, from their pages:
https://learn.microsoft.com/en-us/rest/api/subscription/ , …/rest/api/managedidentity/ , …/rest/api/authorization/
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SDKS = ("azure.mgmt.compute", "azure.mgmt.network", "azure.mgmt.resource.resources")
GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
AT = "/subscriptions/{subscriptionId}/providers/{namespace}/locations"
IDENTITIES = "providers/Microsoft.ManagedIdentity/userAssignedIdentities"
ROLES = "/{scope}/providers/Microsoft.Authorization"
IDENTITY_VERSION, ROLE_VERSION, SUBSCRIPTION_VERSION = "2023-01-31", "2022-04-01", "2022-12-01"
# stable versions that the services still take beside the SDK's own
# https://learn.microsoft.com/en-us/azure/templates/microsoft.compute/virtualmachines
OLDER = {
    "microsoft.compute/virtualmachines": ("2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01"),
    "microsoft.resources": ("2021-04-01", "2022-09-01", "2024-03-01", "2024-11-01"),
}
_BUILDER = re.compile(r"^def build_(\w+)_request\(", re.MULTILINE)
_VERSION = re.compile(r'"api[-_]version",\s*(?:_params\.pop\("api-version",\s*)?"(\d{4}-\d\d-\d\d(?:-preview)?)"')
_URL = re.compile(r'_url = (?:kwargs\.pop\(\s*"template_url",\s*)?\(?\s*"(/[^"]*)"', re.DOTALL)
_QUERY = re.compile(r'_params\["([^"]+)"\] = ')
_METHOD = re.compile(r'HttpRequest\(\s*method="([A-Z]+)"')
_CLASS = re.compile(r"^class (\w+)Operations\b", re.MULTILINE)
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Route:
    """`operation` is the SDK's name, without `begin_`: `virtual_machines.create_or_update`. `versions` (): any. `query` are the parameters
    that it knows beside its version."""

    operation: str
    method: str
    template: str
    versions: tuple[str, ...]
    query: frozenset[str] = frozenset()

    @property
    def namespace(self) -> str:
        """`Microsoft.Compute`; resource groups and subscriptions are of Microsoft.Resources."""
        found = re.findall(r"/providers/(Microsoft\.\w+)", self.template)
        return str(found[-1]) if found else "Microsoft.Resources"


@dataclass(frozen=True)
class Match:
    route: Route
    params: dict[str, str]


class Routes:
    """All of them; paths are compared as Resource Manager does it, in any case."""

    def __init__(self) -> None:
        known = [*_own(), *(route for name in SDKS for route in _read(name))]
        # a fixed word before a parameter: providers/Microsoft.Compute/skus before providers/{namespace}
        known.sort(key=lambda route: [part.startswith("{") for part in route.template.split("/")])
        self._known = [(_pattern(route.template), route) for route in known]

    def find(self, method: str, path: str) -> Match | None:
        for pattern, route in self._known:
            if route.method == method and (found := pattern.fullmatch(path)):
                return Match(route, found.groupdict())
        return None

    def operations(self) -> set[str]:
        return {route.operation for _, route in self._known}

    def methods(self, path: str) -> set[str]:
        """Those that a path knows; none: it's no path at all."""
        return {route.method for pattern, route in self._known if pattern.fullmatch(path)}


def _pattern(template: str) -> re.Pattern[str]:
    def place(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>.+?)" if found[1] == "scope" else f"(?P<{found[1]}>[^/]+)"

    return re.compile(_PLACE.sub(place, template.replace(".", r"\.")), re.IGNORECASE)


def _read(package: str) -> Iterator[Route]:
    found = importlib.util.find_spec(package)
    assert found and found.submodule_search_locations, f"{package} isn't installed"
    text = (Path(found.submodule_search_locations[0]) / "operations" / "_operations.py").read_text()
    # longest first: virtual_machine_scale_sets before virtual_machines
    groups = sorted((_snake(name) for name in _CLASS.findall(text)), key=len, reverse=True)
    starts = list(_BUILDER.finditer(text))
    for start, end in zip(starts, [each.start() for each in starts[1:]] + [len(text)], strict=True):
        body, name = text[start.start() : end], start[1]
        url, version, method = _URL.search(body), _VERSION.search(body), _METHOD.search(body)
        group = next((each for each in groups if name.startswith(f"{each}_")), "")
        if url and version and method and group:
            operation = f"{group}.{name.removeprefix(f'{group}_')}"
            query = frozenset(_QUERY.findall(body)) - {"api-version"}
            yield Route(operation, method[1], url[1], (version[1], *_older(url[1])), query)


def _older(template: str) -> tuple[str, ...]:
    lower = template.lower()
    if "/providers/" not in lower or "/providers/{" in lower:
        return OLDER["microsoft.resources"]
    return next((versions for name, versions in OLDER.items() if f"/providers/{name}" in lower), ())


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _own() -> Iterator[Route]:
    subscriptions = (SUBSCRIPTION_VERSION, "2021-01-01", "2020-01-01")
    yield Route("operations.get", "GET", f"{AT}/{{location}}/operations/{{operationId}}", (), frozenset({"monitor"}))
    yield Route("operations.result", "GET", "/subscriptions/{subscriptionId}/operationresults/{operationId}", ())
    yield Route("subscriptions.list", "GET", "/subscriptions", subscriptions)
    yield Route("subscriptions.get", "GET", "/subscriptions/{subscriptionId}", subscriptions)
    yield Route("subscriptions.list_locations", "GET", "/subscriptions/{subscriptionId}/locations", subscriptions)
    identity, versions = f"{GROUP}/{IDENTITIES}/{{identityName}}", (IDENTITY_VERSION, "2018-11-30", "2024-11-30")
    yield from _verbs("user_assigned_identities", identity, versions, "create_or_update", "get", "delete", "update")
    yield Route("user_assigned_identities.list_by_resource_group", "GET", f"{GROUP}/{IDENTITIES}", versions)
    by_subscription = f"/subscriptions/{{subscriptionId}}/{IDENTITIES}"
    yield Route("user_assigned_identities.list_by_subscription", "GET", by_subscription, versions)
    for group, kind, key in (("definitions", "roleDefinitions", "roleId"), ("assignments", "roleAssignments", "name")):
        creating = "create_or_update" if group == "definitions" else "create"
        yield from _verbs(f"role_{group}", f"{ROLES}/{kind}/{{{key}}}", (ROLE_VERSION,), creating, "get", "delete")
        yield Route(f"role_{group}.list", "GET", f"{ROLES}/{kind}", (ROLE_VERSION,), frozenset({"$filter"}))
    yield Route("permissions.list", "GET", f"{ROLES}/permissions", (ROLE_VERSION,))


def _verbs(group: str, template: str, versions: tuple[str, ...], *names: str) -> Iterator[Route]:
    methods = {"create_or_update": "PUT", "create": "PUT", "get": "GET", "delete": "DELETE", "update": "PATCH"}
    for name in names:
        yield Route(f"{group}.{name}", methods[name], template, versions)
