"""Google Cloud's services of one project: credentials, a client a resource of Compute Engine, and plain REST for the few others.

The SDK is imported by the first call, not before: a project without Google Cloud doesn't pay for it.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dstack_cloud.backends.base.login_files import LoginFiles
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.errors import NAME_PROJECT, check_installed, passes, translated
from dstack_cloud.errors import InvalidConfiguration, NotAuthorized

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.auth.transport.requests import AuthorizedSession, Request
    from google.cloud import compute_v1
    from google.cloud.compute_v1.types import Disk as Disk
    from google.cloud.compute_v1.types import DisksScopedList as DisksScopedList
    from google.cloud.compute_v1.types import Instance as Instance
    from google.cloud.compute_v1.types import InstancesScopedList as InstancesScopedList
    from google.cloud.compute_v1.types import MachineType as MachineType
    from google.cloud.compute_v1.types import Operation as Operation

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# beside Compute Engine's, by a short name; an emulator has all of them at one place
SERVICES = {
    "billing": "https://cloudbilling.googleapis.com",
    "iam": "https://iam.googleapis.com",
    "projects": "https://cloudresourcemanager.googleapis.com",
    "storage": "https://storage.googleapis.com",
    "sts": "https://sts.googleapis.com",
}
READ_SECONDS = 30.0
# how long a question that changes nothing is asked again, in all
PATIENCE_SECONDS = 20.0
# a token that is so near its end is renewed first
LEAST_LEFT = timedelta(minutes=5)
# https://cloud.google.com/iam/docs/downscoping-short-lived-credentials#exchange-credential-auto
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind


class Login(NamedTuple):
    credentials: Credentials
    project: str


class GcpClient:
    """The clients of one project's settings, made when they are first needed. Threads share them."""

    def __init__(self, config: GcpConfig, patience: float = PATIENCE_SECONDS) -> None:
        """`patience`: seconds, see PATIENCE_SECONDS."""
        self.config = config
        self._patience = patience
        self._lock = threading.RLock()
        self._files = LoginFiles([_login_file(config.credentials)])
        self._login: Login | None = None
        self._clients: dict[str, object] = {}

    @property
    def regions(self) -> tuple[str, ...]:
        """Raises InvalidConfiguration where none is named."""
        if not self.config.regions:
            raise InvalidConfiguration("no GCP region is named", "set `regions` in the project's `gcp` settings")
        return self.config.regions

    @property
    def project(self) -> str:
        """Raises InvalidConfiguration where neither the settings nor the credentials name one."""
        found = self.config.project or self.login().project
        if not found:
            raise InvalidConfiguration("no project of Google Cloud is named", NAME_PROJECT)
        return found

    def login(self) -> Login:
        """That which the file holds now."""
        with self._lock:
            if self._files.changed():
                self._login = None
                self._clients.clear()
            if self._login is None:
                self._login = _log_in(self.config.credentials, self.config.project)
            return self._login

    @property
    def caller(self) -> str:
        """Whose credentials these are, for people."""
        credentials = self.login().credentials
        known = [getattr(credentials, name, "") for name in ("service_account_email", "signer_email", "account")]
        return next((str(each) for each in known if each and each != "default"), "the application-default credentials")

    def instances(self) -> compute_v1.InstancesClient:
        return cast("compute_v1.InstancesClient", self._compute("InstancesClient"))

    def disks(self) -> compute_v1.DisksClient:
        return cast("compute_v1.DisksClient", self._compute("DisksClient"))

    def zone_operations(self) -> compute_v1.ZoneOperationsClient:
        return cast("compute_v1.ZoneOperationsClient", self._compute("ZoneOperationsClient"))

    def global_operations(self) -> compute_v1.GlobalOperationsClient:
        return cast("compute_v1.GlobalOperationsClient", self._compute("GlobalOperationsClient"))

    def firewalls(self) -> compute_v1.FirewallsClient:
        return cast("compute_v1.FirewallsClient", self._compute("FirewallsClient"))

    def subnetworks(self) -> compute_v1.SubnetworksClient:
        return cast("compute_v1.SubnetworksClient", self._compute("SubnetworksClient"))

    def images(self) -> compute_v1.ImagesClient:
        return cast("compute_v1.ImagesClient", self._compute("ImagesClient"))

    def machine_types(self) -> compute_v1.MachineTypesClient:
        return cast("compute_v1.MachineTypesClient", self._compute("MachineTypesClient"))

    def accelerator_types(self) -> compute_v1.AcceleratorTypesClient:
        return cast("compute_v1.AcceleratorTypesClient", self._compute("AcceleratorTypesClient"))

    def region_descriptions(self) -> compute_v1.RegionsClient:
        return cast("compute_v1.RegionsClient", self._compute("RegionsClient"))

    def projects(self) -> compute_v1.ProjectsClient:
        return cast("compute_v1.ProjectsClient", self._compute("ProjectsClient"))

    @property
    def reading(self) -> Mapping[str, Any]:
        """How a question is asked that may be asked again: what the SDK's methods take beside the request."""
        from google.api_core import retry

        policy = retry.Retry(predicate=passes, initial=0.2, maximum=4.0, timeout=self._patience)
        return {"retry": policy, "timeout": READ_SECONDS}

    @property
    def changing(self) -> Mapping[str, Any]:
        """What is refused is told at once: whoever asks knows whether it may be asked again."""
        return {"retry": None, "timeout": READ_SECONDS}

    def rest(
        self, service: str, verb: str, path: str, body: object = None, **query: str | Sequence[str]
    ) -> dict[str, Any]:
        """One call to one of SERVICES; `path` begins with a slash. What only reads is asked again for a while. Raises BackendError."""
        from google.api_core.exceptions import from_http_response

        url, session = f"{self.config.endpoint or SERVICES[service]}{path}", self._session()

        def asked() -> dict[str, Any]:
            answer = session.request(  # type: ignore[no-untyped-call]
                verb, url, json=body, params=query or None, timeout=READ_SECONDS
            )
            if not answer.ok:
                raise from_http_response(answer)  # type: ignore[no-untyped-call]
            return cast("dict[str, Any]", answer.json()) if answer.content else {}

        patient: Any = self.reading["retry"] if verb == "GET" else None
        with translated(f"{service} {path}"):
            found: dict[str, Any] = patient(asked)() if patient else asked()
            return found

    def token(self) -> Mapping[str, Any]:
        """An obstore credential provider: a token of these credentials, good for some minutes at least. Raises BackendError."""
        credentials = self.login().credentials
        with self._lock, translated("credentials"):
            if not credentials.token or _left(credentials) < LEAST_LEFT:
                credentials.refresh(_transport())  # type: ignore[no-untyped-call]
        if not credentials.token:
            raise NotAuthorized("the credentials for Google Cloud give no token", "choose others as `credentials`")
        return {"token": str(credentials.token), "expires_at": _end(credentials)}

    def narrowed_token(self, boundary: Mapping[str, Any]) -> str:
        """A token that may do less than these credentials: what a Credential Access Boundary leaves. Raises BackendError."""
        from google.oauth2 import sts

        url = f"{self.config.endpoint or SERVICES['sts']}/v1/token"
        with translated("lending the store"):
            answer: Any = sts.Client(url).exchange_token(  # type: ignore[no-untyped-call]
                request=_transport(),
                grant_type=EXCHANGE,
                subject_token=self.token()["token"],
                subject_token_type=ACCESS_TOKEN,
                requested_token_type=ACCESS_TOKEN,
                additional_options=boundary,
            )
        return str(answer["access_token"])

    def _session(self) -> AuthorizedSession:
        def made() -> object:
            from google.auth.transport.requests import AuthorizedSession

            return AuthorizedSession(self.login().credentials)  # type: ignore[no-untyped-call]

        return cast("AuthorizedSession", self._kept("rest", made))

    def _compute(self, name: str) -> object:
        def made() -> object:
            credentials = self.login().credentials
            from google.cloud import compute_v1

            # given a transport, a client takes no token that it signed itself, which the store and its lending couldn't use
            kind = getattr(compute_v1, name)
            place = {"host": self.config.endpoint} if self.config.endpoint else {}
            return kind(transport=kind.get_transport_class("rest")(credentials=credentials, **place))

        return self._kept(name, made)

    def _kept(self, name: str, make: Callable[[], object]) -> object:
        with self._lock:
            self.login()
            if name not in self._clients:
                self._clients[name] = make()
            return self._clients[name]


def _login_file(path: str) -> Path:
    """https://cloud.google.com/docs/authentication/application-default-credentials"""
    folder = os.environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud"
    default = Path(folder) / "application_default_credentials.json"
    return Path(path or os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or default)


def _log_in(path: str, project: str) -> Login:
    check_installed()
    import google.auth

    sdk: Any = google.auth
    place = Path(path).expanduser()
    if path and not place.is_file():
        raise InvalidConfiguration(f"there is no file {place}", "name a file of credentials as `credentials`")
    with translated(path or "application-default credentials"), warnings.catch_warnings():
        # about files from strangers: this one the user has named in their own configuration
        warnings.simplefilter("ignore")
        found, its_own = (
            sdk.load_credentials_from_file(str(place), scopes=[SCOPE]) if path else sdk.default(scopes=[SCOPE])
        )
    return Login(_counted_on(found, project or its_own), its_own or "")


def _counted_on(credentials: Credentials, project: str) -> Credentials:
    """A person's own credentials count calls on the project of gcloud itself otherwise, where most APIs are off:
    https://cloud.google.com/docs/authentication/troubleshoot-adc#user-creds-client-based"""
    from google.oauth2.credentials import Credentials as Personal

    if project and isinstance(credentials, Personal) and not credentials.quota_project_id:
        return cast("Credentials", credentials.with_quota_project(project))
    return credentials


def _transport() -> Request:
    from google.auth.transport.requests import Request

    return Request()


def _end(credentials: Credentials) -> datetime | None:
    """google-auth's own times are UTC, and don't say so."""
    expiry: datetime | None = credentials.expiry
    return None if expiry is None else expiry.replace(tzinfo=timezone.utc)


def _left(credentials: Credentials) -> timedelta:
    end = _end(credentials)
    return timedelta.max if end is None else end - datetime.now(timezone.utc)
