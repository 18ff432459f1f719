"""Machines on Google Cloud that exist for one job: one insert each, deleted by themselves whatever becomes of this computer."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dstack_cloud.backends.base import Capabilities, Finding, Health, Launch, Observed, Owned
from dstack_cloud.backends.base.questions import Permissions
from dstack_cloud.backends.gcp.client import PATIENCE_SECONDS, GcpClient
from dstack_cloud.backends.gcp.config import NO_IDENTITY, SCHEME, GcpConfig
from dstack_cloud.backends.gcp.errors import TAKEN, VANISHED, is_about_identity, translated
from dstack_cloud.backends.gcp.offers import NAME, Market
from dstack_cloud.backends.gcp.resources import ending, machine
from dstack_cloud.backends.gcp.resources.checks import Checks
from dstack_cloud.backends.gcp.resources.fleet import Fleet
from dstack_cloud.backends.gcp.resources.identity import Identity, lack_of_identity
from dstack_cloud.backends.gcp.resources.images import Catalogue
from dstack_cloud.backends.gcp.resources.logins import QUESTIONNAIRE
from dstack_cloud.backends.gcp.resources.machine import Place
from dstack_cloud.backends.gcp.resources.network import Network
from dstack_cloud.backends.gcp.resources.operations import Operations, refused_with
from dstack_cloud.backends.gcp.resources.policy import least_permissions
from dstack_cloud.backends.gcp.resources.quota import Quotas
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.errors import BackendError, NoCapacity, Unavailable

log = logging.getLogger(__name__)

APPLY = (
    "gcloud iam roles create dstackCloud --project=PROJECT --file=role.yaml, then gcloud projects add-iam-policy-binding PROJECT "
    "--member=user:EMAIL --role=projects/PROJECT/roles/dstackCloud"
)
# A zone says within seconds whether it has the machine. One that takes longer is followed by whoever looks at the machine.
CREATE_SECONDS = 20.0


class GcpBackend:
    """Implements `backends.base.Backend`. A machine's ref is "zone/name". Nothing is imported or asked before its first call."""

    name = NAME
    questionnaire = QUESTIONNAIRE

    def __init__(
        self,
        config: GcpConfig,
        home: Path,
        installation: str,
        default_image: str,
        create_seconds: float = CREATE_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`installation` owns what is made here; `home` keeps what was learnt of types and prices. A question that changes nothing is
        asked again for `patience` seconds."""
        self._create_seconds = create_seconds
        self._config, self._installation, self._image = config, installation, default_image
        self.home = home
        self._client = GcpClient(config, patience)
        prefix = machine.prefix_of(installation)
        self._operations = Operations(self._client)
        self._network = Network(self._client, self._operations, prefix)
        self._identity = Identity(self._client, prefix)
        self._images = Catalogue(self._client)
        self._quotas = Quotas(self._client)
        self._fleet = Fleet(self._client, self._operations, installation)
        self._market = Market(self._client, home / NAME, self._network.zones)
        self._lock = threading.Lock()
        # how often a launch failed in a way that may be tried again
        self._failures: Counter[str] = Counter()
        # machines whose creation failed: one that is there still is on its way out
        self._discarded: set[str] = set()

    @property
    def capabilities(self) -> Capabilities:
        anonymous = self._config.service_account == NO_IDENTITY
        return Capabilities(
            containers=True,
            default_image=self._image,
            remote=True,
            spot=True,
            notice="gcp",
            store="" if anonymous else SCHEME,
            self_termination=True,
            ending="" if anonymous else ending.script(self._config.endpoint),
            private_network=True,
            prices="Google's Cloud Billing Catalog: processors, memory, GPUs and built-in local SSDs, without disks",
        )

    def validate(self) -> list[Finding]:
        found = Checks(self._client, self._network, self._images, self._quotas, self._market.sizes).findings()
        return [*found, *self._market.findings()]

    def permissions(self, store: str) -> Permissions:
        return Permissions(least_permissions(self._config, store), APPLY)

    def prepare(self, store: str) -> str:
        """Ahead of the first launch: what a service account may do takes minutes to have an effect."""
        if self._config.service_account:
            return ""
        return f"the machines' service account {self._identity.find(store)} is there"

    def offers(self, requirements: Requirements) -> list[Offer]:
        if requirements.gpu is not None and requirements.gpu.count:
            self._quotas.check_gpus()
        return self._market.find(requirements, self._network.zones)

    def priced_at(self) -> float | None:
        return self._market.read_at()

    def create(self, launch: Launch) -> str:
        offer = launch.offer
        ref = f"{offer.zone}/{machine.name_for(self._installation, launch)}"
        where = f"{offer.zone} {offer.instance_type}{' spot' if offer.spot else ''}"
        place = self._place(launch)
        asked = {
            "project": self._client.project,
            "zone": offer.zone,
            "instance_resource": machine.request(self._config, self._installation, launch, place),
            "request_id": machine.request_id(self._installation, f"{launch.key} {self._failures[launch.key]}"),
        }
        try:
            with translated(where):
                begun = self._client.instances().insert_unary(request=asked, **self._client.changing)
        except BackendError as refused:
            return self._after_refusal(ref, place, refused, begun=False)
        refusal = refused_with(self._operations.follow(begun, self._create_seconds, offer.zone), where)
        if refusal is not None:
            if refusal.retryable:
                # the same request again would be answered with the same failure
                self._failures[launch.key] += 1
            return self._after_refusal(ref, place, refusal, begun=True)
        self._discarded.discard(ref)
        return ref

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        seen = self._fleet.inspect(refs)
        if any(one.health is Health.RUNNING for one in seen.values()):
            self._network.let_in()
        return seen

    def list_owned(self) -> list[Owned]:
        """Also disks that a machine left behind."""
        if not self._market.folder.exists():
            return []  # no machine was ever asked for from this state folder: Google Cloud needn't even be set up
        return self._fleet.listed()

    def terminate(self, refs: Sequence[str]) -> None:
        self._fleet.terminate(refs)

    def _place(self, launch: Launch) -> Place:
        region, images = self._network.region(launch.offer.region), self._config.images
        if launch.offer.zone not in region.zones:
            raise NoCapacity(f"{launch.offer.region} has no zone {launch.offer.zone}", cloud_code="NoZone")
        tags = [self._network.ssh_tag()]
        if launch.nodes > 1:
            tags.append(self._network.nodes_tag())
        return Place(
            image=self._images.find(images.gpu if launch.offer.machine.gpus else images.cpu),
            subnet=region.subnet,
            tags=tuple(tags),
            identity=self._identity.find(launch.store),
        )

    def _after_refusal(self, ref: str, place: Place, refused: BackendError, *, begun: bool) -> str:
        """The machine is there after all, or what is left of it is removed and the refusal told in a way that helps."""
        if refused.cloud_code in TAKEN:
            if ref not in self._discarded and self._fleet.has(ref):
                return ref
            self._discard(ref)
            raise Unavailable(f"what an earlier try left at {ref} is in the way", **refused.said) from refused
        if begun:
            # Google tells of some failures when the machine, or its disk, is there already
            self._discard(ref)
        if place.identity and is_about_identity(refused):
            self._identity.forget()
            raise lack_of_identity(place.identity, bool(self._config.service_account), refused) from refused
        if VANISHED.search(refused.cloud_message):
            self._network.forget()
            raise Unavailable(refused.summary, **refused.said) from refused
        raise refused

    def _discard(self, ref: str) -> None:
        """What can't be removed now is found by the reaper."""
        zone, name = ref.split("/")
        self._discarded.add(ref)
        try:
            self._fleet.terminate([ref, f"{zone}/disks/{name}"])
        except BackendError as wrong:
            log.info("%s stays for now: %s", ref, wrong.summary)
