"""What the engine is told to create for a job: a pure function of the job and the places of its folders."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Sequence
from typing import Any

from dstack_cloud.runner_bootstrap.payload import git, script
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.outputs import CONTAINER_WORK

ATTEMPT_LABEL = "dstack.attempt"
# of one that packs what a setup made: it may go on when the job has ended
PACKING_LABEL = "dstack.packing"
GIT_INSIDE = "/etc/dstack/git"
CA_INSIDE = "/etc/dstack/ca-bundle.pem"
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")

Json = dict[str, Any]
Mount = tuple[str, str, str]


DEFAULT_HOME = "/root"


def config(
    job: Job, folder: Folder, user: str = "root", *, publish: bool = True, devices: Sequence[str] | None = None
) -> Json:
    """The body of the engine's `POST /containers/create`. `user` is the image's own; `publish`: the engine leads to its ports;
    `devices`: the GPUs that the job may use, None for any."""
    return {
        "Image": job.image,
        **_program(job),
        "Env": [f"{name}={value}" for name, value in {**_listening(publish), **_environment(job, user)}.items()],
        "WorkingDir": posixpath.normpath(posixpath.join(CONTAINER_WORK, job.working_dir)),
        "Labels": {ATTEMPT_LABEL: job.attempt},
        "ExposedPorts": {f"{port.app}/tcp": {} for port in (job.ports if job.alone else ())},
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {
            "Binds": [f"{host}:{inside}{mode}" for host, inside, mode in mounts(job, folder)],
            # the runner is the only reader: the attached stream is exact, and nothing is written twice
            "LogConfig": {"Type": "none"},
            "Init": True,
            **_network(job, publish=publish),
            **_limits(job, devices),
        },
    }


def mounts(job: Job, folder: Folder) -> list[Mount]:
    """(here, inside the container, "" or ":ro"). An image may have programs in its home folder, so the private home covers it
    only where an artifact, its own or one that it is given, lies in it; a cache is mounted by itself."""
    found = [(str(folder.work), CONTAINER_WORK, "")]
    homely = [path for path in itertools.chain(job.artifacts, *job.deps) if path.startswith("~")]
    if homely:
        found.append((str(folder.home), job.home_dir, ""))
    else:
        caches = sorted({posixpath.normpath(path) for path in job.caches if path.startswith("~")})
        found += [(str(folder.place(path)), posixpath.join(job.home_dir, path[2:]), "") for path in caches]
    if job.git:
        found.append((str(folder.git), GIT_INSIDE, ":ro"))
    if job.ca_bundle:
        found.append((str(folder.ca_bundle), CA_INSIDE, ":ro"))
    return found


def chown_config(job: Job, folder: Folder, owner: str) -> Json:
    """A container that gives what the job wrote to `owner` (`uid:gid`)."""
    places = [(here, inside) for here, inside, mode in mounts(job, folder) if not mode]
    return {
        "Image": job.image,
        "Entrypoint": ["chown", "-hR", owner],
        "Cmd": [inside for _, inside in places],
        "User": "0:0",
        "Labels": {ATTEMPT_LABEL: job.attempt},
        "NetworkDisabled": True,
        "HostConfig": {"Binds": [f"{here}:{inside}" for here, inside in places], "LogConfig": {"Type": "none"}},
    }


def _network(job: Job, *, publish: bool) -> Json:
    """A network of its own; nodes that work together use their machines', because they reach each other at any port."""
    if not job.alone:
        return {"NetworkMode": "host"}
    bound = {
        f"{port.app}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port.local)}]
        for port in (job.ports if publish else ())
    }
    return {"PortBindings": bound}


def _program(job: Job) -> Json:
    """Nothing asked: the image's own. An entrypoint takes the commands as its one last argument."""
    if not job.commands:
        return {"Entrypoint": list(job.entrypoint)} if job.entrypoint else {}
    text = script.joined(job.commands)
    if job.entrypoint:
        return {"Entrypoint": list(job.entrypoint), "Cmd": [text]}
    return {"Entrypoint": ["/bin/sh", "-c", script.CONTAINER_KEEPER, "dstack-job", text], "Cmd": []}


def _listening(publish: bool) -> Json:
    """Where a program has to listen: the engine doesn't lead to a container's 127.0.0.1."""
    return {"DSTACK_LISTEN": "0.0.0.0"} if publish else {}  # noqa: S104 - told to the job's own programs


def is_root(user: str) -> bool:
    return user.split(":")[0] in ("", "root", "0")


def _environment(job: Job, user: str) -> dict[str, str]:
    env = dict.fromkeys(CA_VARIABLES, CA_INSIDE) if job.ca_bundle else {}
    env |= git.environment(job.git, GIT_INSIDE)
    if is_root(user) or job.home_dir != DEFAULT_HOME:
        env["HOME"] = job.home_dir  # `~` is the same folder for the job as for its artifacts and caches
    # the init that the engine puts first (tini) then signals the program's whole process group, not only the shell
    env["TINI_KILL_PROCESS_GROUP"] = "1"
    return {**env, **job.environment()}


def _limits(job: Job, devices: Sequence[str] | None) -> Json:
    found: Json = {}
    if job.memory_limit:
        found |= {"Memory": int(job.memory_limit), "MemorySwap": int(job.memory_limit)}
    if job.shm_size:
        found["ShmSize"] = int(job.shm_size)
    if job.gpus > 0:
        chosen = {"Count": int(job.gpus)} if devices is None else {"DeviceIDs": list(devices)}
        found["DeviceRequests"] = [{"Driver": "", **chosen, "Capabilities": [["gpu"]]}]
    return found
