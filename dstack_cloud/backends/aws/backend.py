"""Machines on AWS that exist for one job: one RunInstances each, ended by themselves whatever becomes of this computer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dstack_cloud.backends.aws.client import AwsClient
from dstack_cloud.backends.aws.config import NO_IDENTITY, SCHEME, AwsConfig
from dstack_cloud.backends.aws.errors import is_about_identity, translated
from dstack_cloud.backends.aws.offers import NAME, Market
from dstack_cloud.backends.aws.resources import machine
from dstack_cloud.backends.aws.resources.checks import Checks
from dstack_cloud.backends.aws.resources.fleet import Fleet
from dstack_cloud.backends.aws.resources.identity import Identity, lack_of_identity
from dstack_cloud.backends.aws.resources.images import Catalogue
from dstack_cloud.backends.aws.resources.logins import QUESTIONNAIRE
from dstack_cloud.backends.aws.resources.machine import Place
from dstack_cloud.backends.aws.resources.network import Network
from dstack_cloud.backends.aws.resources.policy import OWNER_TAG, PREFIX, least_permissions, partition_of
from dstack_cloud.backends.base import Capabilities, Finding, Health, Launch, Observed, Owned
from dstack_cloud.backends.base.questions import Permissions
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.errors import BackendError, NoCapacity, Unavailable

log = logging.getLogger(__name__)

# AWS remembers a ClientToken for a day at least; what an earlier server made is listed more often than that
LISTING_SECONDS = 3600.0
ENDED_BEFORE = "IdempotentInstanceTerminated"
OTHER_PARAMETERS = "IdempotentParameterMismatch"
APPLY = (
    "aws iam put-user-policy --user-name USER --policy-name dstack --policy-document file://policy.json "
    "(or put-role-policy with --role-name)"
)
# what was found or made here before and isn't there any more
VANISHED = ("InvalidGroup.NotFound", "InvalidSubnetID.NotFound", "InvalidSecurityGroupID.NotFound")


class AwsBackend:
    """Implements `backends.base.Backend`. A machine's ref is "region/i-…". Nothing is imported or asked before its first call."""

    name = NAME
    questionnaire = QUESTIONNAIRE

    def __init__(self, config: AwsConfig, home: Path, installation: str, default_image: str) -> None:
        """`installation` owns what is made here; `home` keeps what was learnt of types and prices."""
        self._config, self._installation, self._image = config, installation, default_image
        self.home = home
        self._client = AwsClient(config)
        owner = machine.tags({OWNER_TAG: installation})
        self._network = Network(self._client, f"{PREFIX}{installation}", owner)
        self._identity = Identity(self._client, installation, [{"Key": OWNER_TAG, "Value": installation}])
        self._images = Catalogue(self._client)
        self._fleet = Fleet(self._client, installation)
        self._market = Market(self._client, home / NAME)
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._listed: dict[str, float] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            containers=True,
            default_image=self._image,
            remote=True,
            spot=True,
            notice="aws",
            store="" if self._config.instance_profile == NO_IDENTITY else SCHEME,
            self_termination=True,
            private_network=True,
            prices="AWS's spot price history and price list",
        )

    def validate(self) -> list[Finding]:
        return [*Checks(self._client, self._network, self._images).findings(), *self._market.findings()]

    def permissions(self, store: str) -> Permissions:
        return Permissions(least_permissions(self._config, store, partition_of(self._config.regions)), APPLY)

    def offers(self, requirements: Requirements) -> list[Offer]:
        return self._market.find(requirements, self._network.subnets)

    def priced_at(self) -> float | None:
        return self._market.read_at()

    def create(self, launch: Launch) -> str:
        region = launch.offer.region
        if ref := self._made_before(region, launch.key):
            return ref
        place = self._place(launch)
        offer = launch.offer
        where = f"{offer.zone or region} {offer.instance_type}{' spot' if offer.spot else ''}"
        ask = machine.request(self._config, self._installation, launch, place)
        try:
            with translated(where):
                answer = self._client.ec2(region, retries=False).run_instances(**ask)
            ref = f"{region}/{answer['Instances'][0]['InstanceId']}"
        except BackendError as refused:
            ref = self._after_refusal(launch, place, refused)
        self._fleet.made(ref)
        with self._lock:
            self._known[launch.key] = ref
        return ref

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        seen = self._fleet.inspect(refs)
        for region in {ref.partition("/")[0] for ref, one in seen.items() if one.health is Health.RUNNING}:
            self._network.let_in(region)
        return seen

    def list_owned(self) -> list[Owned]:
        """Also disks and network interfaces that a machine left behind."""
        if not self._market.folder.exists():
            return []  # no machine was ever asked for from this state folder: AWS needn't even be set up
        return self._fleet.listed(self._client.regions)

    def terminate(self, refs: Sequence[str]) -> None:
        self._fleet.terminate(refs)
        with self._lock:
            self._known = {key: ref for key, ref in self._known.items() if ref not in refs}

    def _place(self, launch: Launch) -> Place:
        region = launch.offer.region
        subnets = self._network.subnets(region)
        subnet = subnets.get(launch.offer.zone) if launch.offer.zone else next(iter(subnets.values()))
        if subnet is None:
            raise NoCapacity(f"there is no subnet in {launch.offer.zone}", cloud_code="NoSubnet")
        images, groups = self._config.images, [self._network.ssh_group(region, subnet.vpc)]
        if launch.nodes > 1:
            groups.append(self._network.nodes_group(region, subnet.vpc))
        return Place(
            image=self._images.find(region, images.gpu if launch.offer.machine.gpus else images.cpu),
            subnet=subnet,
            groups=tuple(groups),
            identity=self._identity.find(launch.store),
        )

    def _made_before(self, region: str, key: str) -> str:
        """What this process made, and what an earlier one did: that is listed once, then AWS's own memory is young enough."""
        with self._lock:
            if time.monotonic() - self._listed.get(region, -LISTING_SECONDS) >= LISTING_SECONDS:
                self._known.update(self._fleet.keys(region))
                self._listed[region] = time.monotonic()
            return self._known.get(key, "")

    def _after_refusal(self, launch: Launch, place: Place, refused: BackendError) -> str:
        """The machine is there after all, or the refusal is told in a way that helps."""
        region, code = launch.offer.region, refused.cloud_code
        if code in (ENDED_BEFORE, OTHER_PARAMETERS):
            if ref := self._fleet.find(region, launch.key):
                return ref
            if code == OTHER_PARAMETERS:
                raise Unavailable(
                    f"{region} was asked for this machine before, in other words, and doesn't show it",
                    **refused.said,
                ) from refused
        if code in VANISHED:
            self._network.forget(region)
            raise Unavailable(refused.summary, **refused.said) from refused
        if place.identity and is_about_identity(refused):
            self._identity.forget()
            raise lack_of_identity(place.identity, bool(self._config.instance_profile), refused) from refused
        raise refused
