"""How an attached user reaches what runs inside a job."""

from __future__ import annotations

from urllib.parse import urlencode

from dstack_cloud.api import schemas
from dstack_cloud.domain.jobs import PortMapping
from dstack_cloud.domain.runs import Job
from dstack_cloud.domain.states import InstanceStatus
from dstack_cloud.orchestrator.dispatch import image_of
from dstack_cloud.services import runs
from dstack_cloud.services.context import Context
from dstack_cloud.ssh.endpoint import Trust


def job_access(context: Context, project: str, name: str) -> list[schemas.AccessView]:
    """One view a job that has a machine now; of several nodes the first, unless another one is named. Raises NotFound."""
    _, jobs = runs.find(context, project, name)
    chosen = jobs if len(jobs) == 1 else [job for job in jobs if job.node == 0]
    return [view for job in chosen if (view := _access(context, job)) is not None]


def _access(context: Context, job: Job) -> schemas.AccessView | None:
    instance = context.world.database.instances.get(job.instance_id)
    if instance is None or instance.status is not InstanceStatus.BUSY:
        return None
    in_container = image_of(job.spec, context.world.backend_of(instance).capabilities) is not None
    remote = instance.endpoint.startswith("ssh:")
    trust = context.world.links.trust(instance) if remote else Trust("", ())
    return {
        **_way(instance.endpoint if remote else "", trust),
        "jumps": [_way(jump.endpoint, jump.trust) for jump in trust.jumps],
        "job": job.name,
        "attempt": instance.id,
        "container": in_container,
        "folder": job.spec.working_dir,
        "ports": [
            {
                "app": port.app,
                "local": port.local,
                # a container's port is published under the local number; a process, and what uses its machine's own network,
                # listens on its own
                "target": port.local if in_container and job.spec.nodes == 1 else port.app,
                "page": _page(context, job, port),
            }
            for port in job.spec.ports
        ],
    }


def _page(context: Context, job: Job, port: PortMapping) -> str:
    """The token is unsealed for who may reach the job, and is shown nowhere else."""
    if not port.token:
        return port.page
    token = context.sealer.open(job.sealed).env.get(port.token, "")
    return f"{port.page}?{urlencode({port.token_in: token})}" if token else port.page


def _way(endpoint: str, trust: Trust) -> schemas.WayView:
    return {"endpoint": endpoint, "client_key": trust.client_key, "host_keys": list(trust.host_keys)}
