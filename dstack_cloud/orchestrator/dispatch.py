"""What the runner is told: the job in its protocol's words (docs/dev/runner-protocol.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dstack_cloud.backends.base import Capabilities
from dstack_cloud.domain.git import Login, server_of
from dstack_cloud.domain.jobs import JobSpec
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.secrets import fill, gone
from dstack_cloud.orchestrator.errands import errand_of
from dstack_cloud.orchestrator.world import World
from dstack_cloud.runner_bootstrap.payload.job import ALONE

DEFAULT_PYTHON = "3.11"
# what a job may run on a machine of its own when its workflow names no max_duration: 72 h, as the configuration's default says
DEFAULT_MAX_DURATION = 72 * 3600


def image_of(spec: JobSpec, capabilities: Capabilities) -> str | None:
    """The image the job runs in on such a machine; None: as a process group."""
    if spec.image:
        return spec.image
    if capabilities.default_image is None:
        return None
    return capabilities.default_image.replace("{python}", spec.python or DEFAULT_PYTHON)


def longest_run(spec: JobSpec, capabilities: Capabilities) -> int | None:
    """Seconds after which the job is stopped and its outputs are saved; None: on this computer it may run for ever."""
    return spec.max_duration or (DEFAULT_MAX_DURATION if capabilities.remote else None)


def time_left(job: Job, capabilities: Capabilities) -> int | None:
    """Seconds that the next attempt may run: `max_duration` counts all attempts together."""
    longest = longest_run(job.spec, capabilities)
    return None if longest is None else max(longest - int(job.ran), 1)


def secrets_of(world: World, job: Job) -> dict[str, str]:
    """The project's, as they are now: an update counts from the next attempt on. Raises ConfigurationError."""
    found = {each.name: world.unsealer.open_secret(each) for each in world.database.secrets.of_project(job.project)}
    missing = [name for name in job.spec.secrets if name not in found]
    if missing:
        raise gone(missing)
    return found


def logins_of(world: World, job: Job) -> tuple[list[dict[str, str]], dict[str, str]]:
    """What lets Git reach the project's private remotes: logins for the runner, and tokens by the variables that hold them."""
    logins, tokens = [], {}
    for number, credential in enumerate(world.database.credentials.of_project(job.project)):
        server, login = server_of(credential.remote), Login(**json.loads(world.unsealer.open_secret(credential)))
        if server.kind == "key":
            logins.append({"host": server.host, "key": login.secret, "known_hosts": login.known_hosts})
        else:
            variable = f"DSTACK_GIT_TOKEN_{number}"
            tokens[variable] = login.secret
            logins.append({"origin": server.origin, "username": login.username, "variable": variable})
    return logins, tokens


def runner_job(
    world: World, instance: Instance, job: Job, capabilities: Capabilities, nodes: Sequence[str] = ALONE
) -> dict[str, Any]:
    """`nodes`: the addresses of all that run it together. Confidential values are unsealed here, to go over the link and nowhere else. Raises ConfigurationError where that can't be."""
    spec = job.spec
    secrets = secrets_of(world, job)
    logins, tokens = logins_of(world, job)
    confidential = world.unsealer.open(job.sealed)
    image = image_of(spec, capabilities)
    auth = confidential.registry_auth
    env = {name: fill(value, secrets) for name, value in confidential.env.items()}
    return {
        "attempt": instance.id,
        "run_name": job.run_name,
        "job_name": job.name,
        "workflow": spec.workflow,
        "mode": "process" if image is None else "docker",
        "image": image,
        "commands": list(spec.commands),
        "entrypoint": None if spec.entrypoint is None else list(spec.entrypoint),
        "env": {**secrets, **env, **tokens, "DSTACK_ATTEMPT": instance.id},
        "secrets": {**secrets, **tokens},
        "git": logins,
        "registry_auth": None
        if auth is None
        else {"username": fill(auth.username, secrets), "password": fill(auth.password, secrets)},
        "python": spec.python,
        "installs": spec.installs,
        "setup": list(spec.setup),
        "setup_salt": world.unsealer.keyed(b"setup") if spec.setup else "",
        # what its first attempt built is good for the next
        "rebuild": spec.rebuild and instance.attempt == 1,
        "working_dir": spec.working_dir,
        "home_dir": spec.home_dir,
        "inputs": errand_of(instance, job).inputs,
        "artifacts": [saved.path for saved in spec.artifacts],
        "caches": [saved.path for saved in spec.cache],
        "deps": [list(need.paths) for need in job.needs if need.paths for _ in need.jobs],
        "ports": [{"app": port.app, "local": port.local} for port in spec.ports],
        "gpus": spec.requirements.gpu.count if spec.requirements.gpu else 0,
        "memory_limit": None,
        "shm_size": spec.requirements.shm_size,
        "max_duration": time_left(job, capabilities),
        "grace": spec.grace,
        "ca_bundle": world.ca_bundle or (world.own_ca_bundle if capabilities.same_network else "") or None,
        "notice": capabilities.notice or None,
        "node": job.node,
        "nodes": list(nodes),
    }
