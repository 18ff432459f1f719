"""Azure's services of one project: a login, a client a service, and plain requests for what needs no client of its own.

Azure's SDK is imported by the first call, not before: a project without Azure doesn't pay for it.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.errors import SUBSCRIPTION, imported, translated
from dstack_cloud.backends.base.login_files import LoginFiles
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.core.rest import HttpRequest, HttpResponse
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.network import NetworkManagementClient
    from azure.mgmt.resource.resources import ResourceManagementClient

Json = dict[str, Any]

MANAGEMENT = "https://management.azure.com"
PRICES = "https://prices.azure.com"
STORAGE_SCOPE = "https://storage.azure.com/.default"
MANAGEMENT_SCOPE = f"{MANAGEMENT}/.default"
# of services for which no client is installed:
# https://learn.microsoft.com/rest/api/resources/subscriptions
SUBSCRIPTIONS_VERSION = "2022-12-01"
# where `az` keeps what it knows of a login: subscriptions, no secrets
AZ_PROFILE = Path(".azure", "azureProfile.json")
CONNECT_SECONDS = 5
READ_SECONDS = 60
TRIES = 2
POLL_SECONDS, EMULATORS_POLL_SECONDS = 3.0, 0.1
RENEW_SECONDS = 300


class AzureClient:
    """The clients of one project's settings, made when they are first needed. Threads share it."""

    def __init__(self, config: AzureConfig) -> None:
        self.config = config
        self._lock = threading.RLock()
        self._files = LoginFiles([Path(config.service_principal)] if config.service_principal else [])
        self._login: TokenCredential | None = None
        self._subscription = config.subscription
        self._clients: dict[Callable[..., object], object] = {}
        self._plain: PipelineClient[HttpRequest, HttpResponse] | None = None

    @property
    def regions(self) -> tuple[str, ...]:
        """Raises InvalidConfiguration where the project names none."""
        if not self.config.regions:
            raise InvalidConfiguration(
                "no Azure region is named", "set `regions` in the project's `azure` settings (eastus, westeurope, …)"
            )
        return self.config.regions

    @property
    def subscription(self) -> str:
        """Its id. Raises InvalidConfiguration, NotAuthorized."""
        with self._lock:
            if not self._subscription:
                self._subscription = _az_default() or self._only_one()
            return self._subscription

    @property
    def management(self) -> str:
        """Resource Manager's URL."""
        return self.config.endpoint or MANAGEMENT

    @property
    def poll_seconds(self) -> float:
        """Between two looks at a long-running operation."""
        return EMULATORS_POLL_SECONDS if self.config.endpoint else POLL_SECONDS

    def compute(self) -> ComputeManagementClient:
        with imported():
            from azure.mgmt.compute import ComputeManagementClient
        return cast("ComputeManagementClient", self._client(ComputeManagementClient))

    def network(self) -> NetworkManagementClient:
        with imported():
            from azure.mgmt.network import NetworkManagementClient
        return cast("NetworkManagementClient", self._client(NetworkManagementClient))

    def resources(self) -> ResourceManagementClient:
        with imported():
            from azure.mgmt.resource.resources import ResourceManagementClient
        return cast("ResourceManagementClient", self._client(ResourceManagementClient))

    def login(self) -> TokenCredential:
        """That which the file holds now, if one is named; `az` is asked for each token. Raises InvalidConfiguration, NotAuthorized where
        the settings name one that can't be."""
        with self._lock:
            if self._files.changed():
                self._login = self._plain = None
                self._clients.clear()
            if self._login is None:
                with imported(), translated("login"):
                    self._login = _login(self.config)
            return self._login

    def token(self, scope: str) -> AccessToken:
        """A bearer token for a service. Raises NotAuthorized."""
        login = self.login()
        with translated("login"):
            return login.get_token(scope)

    def credentials(self) -> Mapping[str, Any]:
        """An obstore credential provider: the login's token for Blob storage. Raises NotAuthorized."""
        token = self.token(STORAGE_SCOPE)
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, timezone.utc)}

    def call(self, method: str, path: str, version: str, body: Json | None = None, *, where: str = "") -> Json:
        """One request to Resource Manager for a service that has no client here; `path` begins with a slash. Raises BackendError."""
        return self._ask(
            method, f"{self.management}{path}?{urllib.parse.urlencode({'api-version': version})}", body, where
        )

    def is_asked(self, url: str) -> bool:
        """Whether it is Resource Manager's: the login goes to nobody else."""
        return _server(url) == _server(self.management)

    def follow(self, url: str, where: str) -> Json:
        """What a long-running operation says of itself at the URL that its answer's header named. Raises BackendError."""
        if not self.is_asked(url):
            raise InvalidConfiguration(f"an operation is to be followed at another host: {url}", "look at `endpoint`")
        return self._ask("GET", url, None, where)

    def begin_machine(self, group: str, name: str, body: Json, where: str) -> str:
        """Asks for a machine, unless there is one of that name (PreconditionFailed); returns the URL at which the long-running
        operation is asked after, "" where none is told. Sent once: what is unclear, the caller asks again. Raises BackendError."""
        machines = self.compute().virtual_machines
        from azure.core import MatchConditions

        urls: list[str] = []
        with translated(where):
            machines.begin_create_or_update(
                group,
                name,
                cast("Any", body),
                match_condition=MatchConditions.IfMissing,
                polling=False,
                retry_total=0,
                raw_response_hook=lambda answer: urls.append(_operation_of(answer.http_response.headers)),
            )
        return urls[-1] if urls else ""

    def price_pages(self, path: str, where: str) -> Iterator[list[Json]]:
        """What the price list says, page by page; it asks nobody who they are. Raises BackendError."""
        base = self.config.endpoint or PRICES
        url = f"{base}{path}"
        while url:
            with translated(where):
                page = _answer(_pipeline(base, _open_policies(self.config.endpoint)), "GET", url, None)
            yield page.get("Items", [])
            url = str(page.get("NextPageLink") or "")

    def _ask(self, method: str, url: str, body: Json | None, where: str) -> Json:
        with self._lock:
            login = self.login()
            if self._plain is None:
                self._plain = _pipeline(self.management, _policies(self.config.endpoint, login))
            plain = self._plain
        with translated(where or url.partition("?")[0].removeprefix(self.management)):
            return _answer(plain, method, url, body)

    def _client(self, kind: Callable[..., object]) -> object:
        with self._lock:
            login = self.login()
            if kind not in self._clients:
                subscription = self.subscription
                with translated("client"):
                    self._clients[kind] = kind(
                        login,
                        subscription,
                        base_url=self.management,
                        polling_interval=self.poll_seconds,
                        connection_timeout=CONNECT_SECONDS,
                        read_timeout=READ_SECONDS,
                        policies=_policies(self.config.endpoint, login),
                    )
            return self._clients[kind]

    def _only_one(self) -> str:
        """The subscription that the login sees, if it is one."""
        known = self.call("GET", "/subscriptions", SUBSCRIPTIONS_VERSION).get("value", [])
        found = [each for each in known if each.get("state", "Enabled") == "Enabled"]
        if len(found) == 1:
            return str(found[0]["subscriptionId"])
        which = f"{len(found)} subscriptions" if found else "no subscription"
        raise InvalidConfiguration(f"the login for Azure sees {which}, and none is named", SUBSCRIPTION)


class EmulatorLogin:
    """A service principal's login at an emulator, which azure-identity wouldn't speak to without TLS.

    https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """

    def __init__(self, endpoint: str, tenant: str, client: str, secret: str) -> None:
        self._endpoint, self._path = endpoint, f"/{tenant}/oauth2/v2.0/token"
        self._form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
        self._tokens: dict[str, AccessToken] = {}

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        from azure.core.credentials import AccessToken
        from azure.core.exceptions import ClientAuthenticationError
        from azure.core.rest import HttpRequest

        scope = " ".join(scopes)
        known = self._tokens.get(scope)
        if known is None or known.expires_on - time.time() < RENEW_SECONDS:
            request = HttpRequest("POST", f"{self._endpoint}{self._path}", data={**self._form, "scope": scope})
            answer = _pipeline(self._endpoint, _open_policies(self._endpoint)).send_request(request)
            found = answer.json()
            if answer.status_code != 200:
                raise ClientAuthenticationError(str(found.get("error_description", "")))
            known = AccessToken(str(found["access_token"]), int(time.time()) + int(found["expires_in"]))
            self._tokens[scope] = known
        return known


def _answer(client: PipelineClient[HttpRequest, HttpResponse], method: str, url: str, body: Json | None) -> Json:
    from azure.core.rest import HttpRequest

    answer = client.send_request(HttpRequest(method, url, json=body))
    answer.raise_for_status()
    found = answer.json() if answer.content else {}
    return found if isinstance(found, dict) else {}


def _server(url: str) -> tuple[str, str | None, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _operation_of(headers: Mapping[str, str]) -> str:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations"""
    return headers.get("Azure-AsyncOperation") or headers.get("Location") or ""


def _login(config: AzureConfig) -> TokenCredential:
    principal = _principal(config.service_principal) if config.service_principal else {}
    tenant = config.tenant or principal.get("tenant", "")
    if config.endpoint and not principal:
        raise NotAuthorized("there is no login for the emulator", "name a `service_principal`")
    if config.endpoint.startswith("http://"):
        return cast(
            "TokenCredential",
            EmulatorLogin(config.endpoint, tenant, principal["appId"], principal.get("password", "")),
        )
    from azure.identity import (
        AzureCliCredential,
        CertificateCredential,
        ChainedTokenCredential,
        ClientSecretCredential,
        DefaultAzureCredential,
        ManagedIdentityCredential,
    )

    if "certificate" in principal:
        return CertificateCredential(tenant, principal["appId"], str(Path(principal["certificate"]).expanduser()))
    if principal:
        # an emulator that speaks TLS is Entra, too
        where: Json = {"authority": config.endpoint, "disable_instance_discovery": True} if config.endpoint else {}
        return ClientSecretCredential(tenant, principal["appId"], principal["password"], **where)
    if tenant:
        return ChainedTokenCredential(AzureCliCredential(tenant_id=tenant), ManagedIdentityCredential())
    return DefaultAzureCredential()


def _principal(path: str) -> dict[str, str]:
    """{"appId", "tenant", "password" or "certificate"}: what `az ad sp create-for-rbac` prints. Nothing of it is ever told."""
    hint = "write there what `az ad sp create-for-rbac` prints: appId, tenant, and password (or certificate, a file's path)"
    try:
        found = json.loads(Path(path).read_text())
    except OSError as error:
        raise InvalidConfiguration(f"the service principal {path} can't be read: {error.strerror}", hint) from None
    except ValueError:
        raise InvalidConfiguration(f"the service principal {path} isn't JSON", hint) from None
    texts = {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
    if not texts.get("appId") or not texts.get("tenant") or not {"password", "certificate"} & texts.keys():
        raise InvalidConfiguration(f"the service principal {path} lacks something", hint)
    return texts


def _az_default() -> str:
    """The subscription that `az account set` chose; "" where `az` was never used."""
    try:
        text = (Path.home() / AZ_PROFILE).read_text(encoding="utf-8-sig")
        known = json.loads(text).get("subscriptions", [])
        return next((str(each["id"]) for each in known if each.get("isDefault")), "")
    except (OSError, ValueError, KeyError, AttributeError):
        return ""


def _pipeline(base: str, policies: list[Any]) -> PipelineClient[HttpRequest, HttpResponse]:
    from azure.core import PipelineClient

    return PipelineClient(base, policies=policies, connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)


def _open_policies(endpoint: str) -> list[Any]:
    """What every request passes through; "" for Azure itself. The SDK's own list also registers resource providers, and waits for
    that without end."""
    from azure.core.pipeline import policies

    return [
        policies.RequestIdPolicy(),
        policies.UserAgentPolicy("dstack-cloud"),
        policies.ProxyPolicy(),
        policies.ContentDecodePolicy(),
        policies.RetryPolicy(retry_total=TRIES, retry_backoff_factor=0.1 if endpoint else 0.8),
    ]


def _policies(endpoint: str, login: TokenCredential) -> list[Any]:
    """Those of a request that the login goes with."""
    from azure.core.pipeline import policies
    from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

    def over_http(request: Any) -> None:  # noqa: ANN401 - the SDK's types differ by release
        """The SDK sends no token without TLS unless it is told to."""
        request.context.options["enforce_https"] = False

    # also who asks to see an answer's headers is served by this one
    hooks = policies.CustomHookPolicy(raw_request_hook=over_http if endpoint.startswith("http://") else None)
    return [*_open_policies(endpoint), hooks, ARMChallengeAuthenticationPolicy(login, MANAGEMENT_SCOPE)]
