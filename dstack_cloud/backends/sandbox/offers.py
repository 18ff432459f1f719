"""What this computer's engine can give: each instance type in each zone, as a spot machine and on demand."""

from __future__ import annotations

from collections.abc import Iterator

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import NAME, PYTHON, SandboxConfig, TypeSetting
from dstack_cloud.domain.resources import Gpu, Machine, Offer, Requirements, SpotPolicy, allowed, fits
from dstack_cloud.errors import InvalidConfiguration, NoCapacity

# what these refusals are called where they are most often met
NO_CAPACITY_CODE = "InsufficientInstanceCapacity"
ASK_FOR_LESS = "ask for less, or set a larger `cpu` and `memory` for it"


def offers(client: DockerClient, config: SandboxConfig, requirements: Requirements) -> list[Offer]:
    """What fits, spot machines first. Raises InvalidConfiguration with the reason where nothing ever can."""
    info = client.get("/info")
    everything = list(_catalogue(config, info["NCPU"], info["MemTotal"]))
    if reason := _python_lack(client, config, requirements):
        raise InvalidConfiguration(f"the sandbox doesn't fit: {reason}", "name an `image` that has it")
    fitting = [offer for offer in everything if fits(offer.machine, requirements) is None]
    if not fitting:
        reason = fits(max(everything, key=lambda offer: offer.machine.memory).machine, requirements)
        raise InvalidConfiguration(f"the sandbox doesn't fit: {reason}", ASK_FOR_LESS)
    # one machine meets a quota as on a cloud: when it is asked for
    if config.quota is not None and requirements.nodes > max(config.quota, 1):
        text = f"the sandbox doesn't fit: needs {requirements.nodes} machines, and its quota is {config.quota}"
        raise InvalidConfiguration(text, "ask for fewer `nodes`, or set a larger `quota` for it")
    wanted = [offer for offer in fitting if allowed(offer, requirements)]
    if not wanted:
        raise InvalidConfiguration(
            f"the sandbox doesn't fit: {_unwanted(fitting, requirements)}", "ask for what it has, or set it so"
        )
    return wanted


def refuse(config: SandboxConfig, offer: Offer) -> None:
    """Raises NoCapacity for what is configured to be sold out."""
    kind = "spot" if offer.spot else "on-demand"
    names = [name for name in (offer.zone, offer.region, offer.instance_type, "*") if name]
    for entry in config.no_capacity:
        if entry in names or entry in [f"{kind}/{name}" for name in names]:
            where = offer.zone or offer.region
            text = f"there is no {kind} capacity for {offer.instance_type} in {where} now"
            raise NoCapacity(
                text, "the sandbox's `no_capacity` says so", cloud_code=NO_CAPACITY_CODE, cloud_message=text
            )


def _catalogue(config: SandboxConfig, processors: int, memory: int) -> Iterator[Offer]:
    """A computer offers no more than it has."""
    for kind in config.instance_types:
        machine = Machine(cpu=min(kind.cpu, processors), memory=min(kind.memory, memory), gpus=_gpus(kind))
        for zone in config.places:
            for spot in (True, False):
                price = kind.spot_price if spot and kind.spot_price is not None else kind.price
                yield Offer(
                    backend=NAME,
                    region=zone.region,
                    zone=zone.name,
                    instance_type=kind.name,
                    machine=machine,
                    spot=spot,
                    price=price,
                )


def _gpus(kind: TypeSetting) -> tuple[Gpu, ...]:
    gpus = kind.gpus
    return () if gpus is None else (Gpu(name=gpus.name, memory=gpus.memory),) * gpus.count


def _python_lack(client: DockerClient, config: SandboxConfig, requirements: Requirements) -> str | None:
    """The default image is made here for one Python; others fit only if the engine has an image for them."""
    python = requirements.python
    if requirements.image is not None or python is None or python == PYTHON:
        return None
    image = config.job_image_for(python)
    if client.image(image) is not None:
        return None
    return f"needs Python {python}, its job image has {PYTHON} (name an `image`, or give your engine {image})"


def _unwanted(fitting: list[Offer], requirements: Requirements) -> str:
    regions = sorted({offer.region for offer in fitting})
    types = sorted({offer.instance_type for offer in fitting})
    if requirements.regions and not set(regions) & set(requirements.regions):
        return f"needs one of the regions {', '.join(requirements.regions)}, is in {', '.join(regions)}"
    if requirements.instance_types and not set(types) & set(requirements.instance_types):
        return f"needs one of {', '.join(requirements.instance_types)}, is {', '.join(types)}"
    if requirements.max_price is not None:
        spot = "spot machines " if requirements.spot_policy is SpotPolicy.SPOT else ""
        least = min(offer.price or 0.0 for offer in fitting)
        return f"needs {spot}at {requirements.max_price} USD an hour at most, asks for {least} or more"
    return "nothing it has is of that kind"
