"""Machines on Azure that exist for one job: one request each, deleted by themselves whatever becomes of this computer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dstack_cloud.backends.azure.client import AzureClient
from dstack_cloud.backends.azure.config import NO_IDENTITY, SCHEME, AzureConfig
from dstack_cloud.backends.azure.errors import is_about_identity
from dstack_cloud.backends.azure.offers import NAME, ZONES, Market
from dstack_cloud.backends.azure.resources import ending, machine
from dstack_cloud.backends.azure.resources.checks import Checks
from dstack_cloud.backends.azure.resources.fleet import Fleet
from dstack_cloud.backends.azure.resources.groups import Groups, is_region
from dstack_cloud.backends.azure.resources.identity import Identity, lack_of_identity
from dstack_cloud.backends.azure.resources.images import Catalogue
from dstack_cloud.backends.azure.resources.logins import QUESTIONNAIRE
from dstack_cloud.backends.azure.resources.machine import Place
from dstack_cloud.backends.azure.resources.network import Network
from dstack_cloud.backends.azure.resources.operations import FOLLOW_SECONDS, Operations
from dstack_cloud.backends.azure.resources.policy import OWNER_TAG, least_permissions
from dstack_cloud.backends.azure.resources.quota import Quotas
from dstack_cloud.backends.base import Capabilities, Finding, Health, Launch, Observed, Owned
from dstack_cloud.backends.base.questions import Permissions
from dstack_cloud.domain.configuration import DEFAULT_PROJECT
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.errors import BackendError, QuotaExceeded, Unavailable

APPLY = (
    "az role definition create --role-definition role.json, then "
    "az role assignment create --assignee LOGIN --role dstack-cloud --scope /subscriptions/SUBSCRIPTION"
)
# what was found or made here before and isn't there any more
VANISHED = ("ResourceGroupNotFound", "InvalidResourceReference", "ResourceNotFound", "NotFound")


class AzureBackend:
    """Implements `backends.base.Backend`. A machine's ref is "region/name". Nothing is imported or asked before its first
    call."""

    name = NAME
    questionnaire = QUESTIONNAIRE

    def __init__(
        self,
        config: AzureConfig,
        home: Path,
        installation: str,
        default_image: str,
        project: str = DEFAULT_PROJECT,
        follow: float = FOLLOW_SECONDS,
    ) -> None:
        """`installation` owns what is made here, in resource groups of `project`; `home` keeps what was learnt of sizes and prices.
        A machine that is being made is waited for until that failed or succeeded, `follow` seconds at most."""
        self._config, self._installation, self._image = config, installation, default_image
        self.home = home
        self._client = AzureClient(config)
        self._groups = Groups(self._client, installation, project, machine.tags({OWNER_TAG: installation}))
        self._network = Network(self._client, self._groups)
        self._identity = Identity(self._client, self._groups)
        self._images, self._quotas = Catalogue(self._client), Quotas(self._client)
        self._operations = Operations(self._client, self._groups, home / NAME / "operations", follow)
        self._fleet = Fleet(self._client, self._groups, installation)
        self._market = Market(self._client, home / NAME)

    @property
    def capabilities(self) -> Capabilities:
        own = self._config.identity != NO_IDENTITY
        return Capabilities(
            containers=True,
            default_image=self._image,
            remote=True,
            spot=True,
            notice="azure",
            store=SCHEME if own else "",
            self_termination=own,
            ending=ending.script(self._client.management) if own else "",
            private_network=True,
            prices="Azure's retail price list",
        )

    def validate(self) -> list[Finding]:
        checks = Checks(self._client, self._images, self._quotas, self._market)
        return [*checks.findings(), *self._market.findings()]

    def permissions(self, store: str) -> Permissions:
        """Raises BackendError where nobody says which subscription."""
        return Permissions(least_permissions(self._config, self._client.subscription, store), APPLY)

    def prepare(self, store: str) -> str:
        """Ahead of the first launch: roles take minutes to have an effect."""
        if self._config.identity:
            return ""
        for region in self._client.regions:
            self._identity.find(region, store)
        return f"the machines' identity and its role are there, in {', '.join(self._client.regions)}"

    def offers(self, requirements: Requirements) -> list[Offer]:
        return self._market.find(requirements, lambda region: ZONES)

    def priced_at(self) -> float | None:
        return self._market.read_at()

    def create(self, launch: Launch) -> str:
        offer = launch.offer
        name = machine.name_for(launch.key)
        ref = f"{offer.region}/{name}"
        self._check_quota(offer, name)
        try:
            body = machine.request(self._config, self._installation, launch, self._place(launch))
            self._operations.make(offer.region, name, body)
        except BackendError as refused:
            raise self._told(offer.region, refused) from refused
        return ref

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        seen = self._fleet.inspect(refs)
        for place in {ref.partition("/")[0] for ref, one in seen.items() if one.health is Health.RUNNING}:
            if is_region(place):
                self._network.let_in(place)
        return seen

    def list_owned(self) -> list[Owned]:
        """Also disks, network interfaces and addresses that a machine left behind."""
        if not self._market.folder.exists():
            return []  # no machine was ever asked for from this state folder: Azure needn't even be set up
        return self._fleet.listed(self._client.regions)

    def terminate(self, refs: Sequence[str]) -> None:
        self._fleet.terminate(refs)
        for ref in refs:
            self._operations.forget(ref.partition("/")[2])

    def _place(self, launch: Launch) -> Place:
        region, images = launch.offer.region, self._config.images
        return Place(
            image=self._images.find(region, images.gpu if launch.offer.machine.gpus else images.cpu),
            subnet=self._network.subnet(region, together=launch.nodes > 1),
            identity=self._identity.find(region, launch.store),
        )

    def _check_quota(self, offer: Offer, name: str) -> None:
        """Raises QuotaExceeded. What is being made already counts among what is in use."""
        if self._operations.is_known(name):
            return
        try:
            self._quotas.check(offer, self._market.family(offer.region, offer.instance_type))
        except QuotaExceeded:
            if not self._operations.exists(offer.region, name):
                raise

    def _told(self, region: str, refused: BackendError) -> BackendError:
        """What was found or made before, and isn't there any more, is looked for anew by who asks again."""
        about_identity = is_about_identity(refused)
        if refused.cloud_code not in VANISHED and not about_identity:
            return refused
        self._forget(region)
        if about_identity:
            return lack_of_identity(self._config.identity, bool(self._config.identity), refused)
        return Unavailable(refused.summary, **refused.said)

    def _forget(self, region: str) -> None:
        self._groups.forget(region)
        self._network.forget(region)
        self._identity.forget(region)
