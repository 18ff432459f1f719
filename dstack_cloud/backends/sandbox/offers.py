"""What this computer's engine can give: machines of one size, at no price."""

from __future__ import annotations

from dstack_cloud.backends.sandbox.client import DockerClient
from dstack_cloud.backends.sandbox.config import PYTHON, SandboxConfig
from dstack_cloud.domain.resources import Machine, Offer, Requirements, SpotPolicy, fits
from dstack_cloud.errors import InvalidConfiguration

NAME = "sandbox"
REGION = "sandbox"
TYPE = "sandbox.small"


def offers(client: DockerClient, config: SandboxConfig, requirements: Requirements) -> list[Offer]:
    """The one offer, if it fits. Raises InvalidConfiguration with the reason where it never can."""
    info = client.get("/info")
    machine = Machine(cpu=min(config.cpu, info["NCPU"]), memory=min(config.memory, info["MemTotal"]))
    if reason := fits(machine, requirements) or _python_lack(client, config, requirements) or _other_lack(requirements):
        raise InvalidConfiguration(
            f"the sandbox doesn't fit: {reason}", "ask for less, or set a larger `cpu` and `memory` for it"
        )
    return [Offer(backend=NAME, region=REGION, instance_type=TYPE, machine=machine, price=0.0)]


def _python_lack(client: DockerClient, config: SandboxConfig, requirements: Requirements) -> str | None:
    """The default image is made here for one Python; others fit only if the engine has an image for them."""
    python = requirements.python
    if requirements.image is not None or python is None or python == PYTHON:
        return None
    image = config.job_image_for(python)
    if client.image(image) is not None:
        return None
    return f"needs Python {python}, its job image has {PYTHON} (name an `image`, or give your engine {image})"


def _other_lack(requirements: Requirements) -> str | None:
    if requirements.spot_policy is SpotPolicy.SPOT:
        return "needs a spot machine, this one never is"
    if requirements.regions and REGION not in requirements.regions:
        return f"needs one of the regions {', '.join(requirements.regions)}, is in {REGION}"
    if requirements.instance_types and TYPE not in requirements.instance_types:
        return f"needs one of {', '.join(requirements.instance_types)}, is {TYPE}"
    return None
