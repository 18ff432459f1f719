"""The job as the server hands it over."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple


class BadJob(ValueError):
    """The JSON isn't a job; the text says which field and why."""


# of a job that runs alone
ALONE = ("127.0.0.1",)
# where the nodes of a job meet, unless its own environment names another (torch's own default)
MASTER_PORT = "29500"


class Port(NamedTuple):
    app: int
    local: int


class Job(NamedTuple):
    """The fields of docs/dev/runner-protocol.md: sizes in bytes, durations in seconds. `nodes` are the private addresses of all
    machines that run it together, in order of rank; `node` is the rank of this one."""

    attempt: str
    run_name: str
    job_name: str
    workflow: str
    mode: str
    image: str
    commands: tuple[str, ...]
    entrypoint: tuple[str, ...] | None
    env: dict[str, str]
    registry_auth: dict[str, str] | None
    python: str | None
    installs: bool
    working_dir: str
    home_dir: str
    inputs: tuple[str, ...]
    artifacts: tuple[str, ...]
    caches: tuple[str, ...]
    deps: tuple[tuple[str, ...], ...]
    ports: tuple[Port, ...]
    gpus: int
    memory_limit: int | None
    shm_size: int | None
    max_duration: float | None
    grace: float
    ca_bundle: str | None
    notice: str | None
    secrets: dict[str, str]
    git: tuple[dict[str, str], ...]
    setup: tuple[str, ...]
    setup_salt: str
    rebuild: bool
    node: int
    nodes: tuple[str, ...]

    @property
    def alone(self) -> bool:
        return len(self.nodes) == 1

    def without_secrets(self) -> dict[str, Any]:
        """JSON that may lie on the disk: enough to go on after a restart."""
        kept = self._asdict()
        ports = [port._asdict() for port in self.ports]
        names = dict.fromkeys(self.secrets, "")
        return {
            **kept,
            "ports": ports,
            "env": {},
            "secrets": names,
            "git": (),
            "registry_auth": None,
            "ca_bundle": None,
        }

    def masked(self) -> list[str]:
        """What the log must not have."""
        return [*self.secrets.values(), *(login["key"] for login in self.git if "key" in login)]

    def environment(self) -> dict[str, str]:
        """The job's own variables and the runner's, which win. Unbuffered, so that Python's lines are seen as they are written."""
        return {
            "PYTHONUNBUFFERED": "1",
            "MASTER_ADDR": self.nodes[0],
            "MASTER_PORT": MASTER_PORT,
            **self.env,
            **self._of_nodes(),
            "RUN_NAME": self.run_name,
            "DSTACK_RUN_NAME": self.run_name,
            "DSTACK_JOB_NAME": self.job_name,
            "DSTACK_ATTEMPT": self.attempt,
        }

    def _of_nodes(self) -> dict[str, str]:
        count = len(self.nodes)
        return {
            "DSTACK_NODES_NUM": str(count),
            "DSTACK_NODE_RANK": str(self.node),
            "DSTACK_MASTER_NODE_IP": self.nodes[0],
            "DSTACK_NODES_IPS": "\n".join(self.nodes),
            "DSTACK_GPUS_PER_NODE": str(self.gpus),
            "DSTACK_GPUS_NUM": str(self.gpus * count),
        }


_OPTIONAL: dict[str, Any] = {
    "image": "",
    "entrypoint": None,
    "registry_auth": None,
    "python": None,
    "installs": False,
    "working_dir": ".",
    "home_dir": "/root",
    "gpus": 0,
    "memory_limit": None,
    "shm_size": None,
    "max_duration": None,
    "grace": 10,
    "ca_bundle": None,
    "notice": None,
    "workflow": "",
    "run_name": "",
    "job_name": "",
    "env": {},
    "secrets": {},
    "setup_salt": "",
    "rebuild": False,
    "node": 0,
    "nodes": ALONE,
    **dict.fromkeys(("commands", "setup", "inputs", "artifacts", "caches", "deps", "ports", "git"), ()),
}
_LISTS = ("commands", "setup", "inputs", "artifacts", "caches", "nodes")
NOTICES = (None, "aws", "gcp", "azure")
_NUMBERS = ("gpus", "memory_limit", "shm_size", "max_duration", "grace", "node")


def parse_job(raw: object) -> Job:
    """Raises BadJob. Unknown fields are ignored: a newer server may say more than this runner knows."""
    if not isinstance(raw, dict):
        raise BadJob("a job is a JSON object")
    values: dict[str, Any] = {key: raw[key] if raw.get(key) is not None else _OPTIONAL.get(key) for key in Job._fields}
    for key in ("attempt", "mode"):
        if not isinstance(values[key], str) or not values[key]:
            raise BadJob(f"`{key}` is missing")
    if values["mode"] not in ("process", "docker"):
        raise BadJob(f"`mode` is {values['mode']!r}, not process or docker")
    if values["mode"] == "docker" and not values["image"]:
        raise BadJob("a docker job needs `image`")
    for key in _LISTS:
        values[key] = _strings(key, values[key])
    if values["entrypoint"] is not None:
        values["entrypoint"] = _strings("entrypoint", values["entrypoint"])
    for key in _NUMBERS:
        if values[key] is not None and not isinstance(values[key], (int, float)):
            raise BadJob(f"`{key}` is {values[key]!r}, not a number")
    for key in ("env", "secrets"):
        values[key] = _mapping(key, values[key])
    values["git"] = tuple(_mapping("git", login) for login in values["git"])
    if values["registry_auth"] is not None:
        values["registry_auth"] = _mapping("registry_auth", values["registry_auth"])
    values["installs"] = bool(values["installs"] or values["setup"])
    values["rebuild"] = bool(values["rebuild"])
    values["ports"] = _ports(values["ports"])
    values["deps"] = _deps(values["deps"])
    _check_inputs(values["inputs"], len(values["caches"]), len(values["deps"]))
    for path in (values["working_dir"], *values["artifacts"], *values["caches"], *itertools.chain(*values["deps"])):
        if path.startswith("/") or ".." in path.split("/"):
            raise BadJob(f"the path {path!r} leads out of the working folder")
    if not values["home_dir"].startswith("/"):
        raise BadJob(f"`home_dir` is {values['home_dir']!r}, not an absolute path")
    if values["notice"] not in NOTICES:
        raise BadJob(f"`notice` is {values['notice']!r}, which isn't a cloud that gives notice of an interruption")
    if not 0 <= values["node"] < len(values["nodes"]):
        raise BadJob(f"`node` is {values['node']!r}, and there are {len(values['nodes'])} `nodes`")
    return Job(**values)


def _strings(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise BadJob(f"`{key}` is not a list of strings")
    return tuple(value)


def _mapping(key: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise BadJob(f"`{key}` is not an object of strings")
    return dict(value)


def _ports(value: Sequence[dict[str, int]]) -> tuple[Port, ...]:
    try:
        return tuple(Port(int(item["app"]), int(item["local"])) for item in value)
    except (TypeError, ValueError, KeyError) as error:
        raise BadJob("`ports` is not a list of {app, local}") from error


def _deps(value: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, (list, tuple)):
        raise BadJob("`deps` is not a list of lists of paths")
    return tuple(_strings("deps", paths) for paths in value)


def _check_inputs(inputs: tuple[str, ...], caches: int, deps: int) -> None:
    known = {"code", "artifacts", *(f"cache-{n}" for n in range(caches)), *(f"deps-{n}" for n in range(deps))}
    for name in inputs:
        if name not in known:
            raise BadJob(
                f"`inputs` names {name!r}, which is neither `code`, `artifacts`, a cache nor a dependency of the job"
            )
