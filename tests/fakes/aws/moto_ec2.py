"""moto's EC2 with what it lacks: a boot that takes time, listings that lag behind, tags on interfaces, a price for spot.

The checks that it leaves to a setting are on: a type, key or image that doesn't exist is refused, as there.
"""

from __future__ import annotations

import functools
from datetime import datetime, timezone
from typing import Any

from moto import settings
from moto.core.responses import ActionResult
from moto.ec2 import utils
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend, Reservation
from moto.ec2.responses.spot_instances import SpotInstances
from moto.iam.models import iam_backends

from tests.fakes.aws import prices
from tests.fakes.aws.world import World

# filters of DescribeInstances that moto fails at: the attribute of its Instance behind each
FILTERS = {"client-token": "client_token", "instance-lifecycle": "lifecycle"}


def install(world: World) -> None:
    """Once a process."""
    settings.EC2_ENABLE_INSTANCE_TYPE_VALIDATION = True
    settings.ENABLE_KEYPAIR_VALIDATION = True
    settings.ENABLE_AMI_VALIDATION = True
    utils.filter_dict_attribute_mapping.update(FILTERS)
    _launches(world)
    _endings(world)
    _listings(world)
    SpotInstances.describe_spot_price_history = _spot_prices  # type: ignore[method-assign]


def _launches(world: World) -> None:
    original = InstanceBackend.run_instances

    @functools.wraps(original)
    def run_instances(self: Any, *args: Any, **kwargs: Any) -> Reservation:
        tags = kwargs.get("tags", {}).get("network-interface", {})
        reservation = original(self, *args, **kwargs)
        role = _role(self.account_id, kwargs.get("iam_instance_profile_name") or "")
        for instance in reservation.instances:
            for nic in instance.nics.values():
                nic.add_tags(tags)
                # what a launch makes by itself goes with the instance
                nic.delete_on_termination = nic.delete_on_termination or not kwargs.get("nics")
            world.launched(instance, role)
        return reservation

    InstanceBackend.run_instances = run_instances  # type: ignore[method-assign]


def _role(account: str, profile: str) -> str:
    if not profile:
        return ""
    return next((role.name for role in iam_backends[account]["aws"].get_instance_profile(profile).roles), "")


def _endings(world: World) -> None:
    original = Instance.terminate

    @functools.wraps(original)
    def terminate(self: Instance) -> Any:
        if self.state in ("shutting-down", "terminated"):
            return self._state  # a second time changes nothing, its reason neither
        before = original(self)
        world.ended(self)
        return before

    Instance.terminate = terminate  # type: ignore[method-assign]


def _listings(world: World) -> None:
    """Everything that moto looks up by id or by filter goes through this."""
    original = InstanceBackend.all_reservations

    @functools.wraps(original)
    def all_reservations(self: Any, filters: Any = None) -> list[Reservation]:
        found = original(self, filters)
        for reservation in found:
            reservation.instances = [each for each in reservation.instances if world.visible(each.id)]
        return [reservation for reservation in found if reservation.instances]

    InstanceBackend.all_reservations = all_reservations  # type: ignore[method-assign]


def _spot_prices(self: SpotInstances) -> ActionResult:
    filters = self._filters_from_querystring()
    description = filters.pop("product-description", ["Linux/UNIX"])[0]
    found = self.ec2_backend.describe_spot_price_history(self._get_param("InstanceTypes", []), filters)
    history = [
        {
            "InstanceType": offering["InstanceType"],
            "ProductDescription": description,
            "SpotPrice": f"{prices.spot(offering['InstanceType'], offering['Location']):.6f}",
            "AvailabilityZone": offering["Location"],
            "Timestamp": datetime.now(timezone.utc),
        }
        for offering in found
        if offering["InstanceType"] in INSTANCE_TYPES
    ]
    return ActionResult({"SpotPriceHistory": history})
