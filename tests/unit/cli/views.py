"""Runs, jobs and machines as the server would show them."""

from __future__ import annotations

import time

from dstack_cloud.api.schemas import (
    AccessPort,
    AccessView,
    InstanceView,
    JobView,
    PlanView,
    RunView,
    WayView,
    WorkflowDetail,
)


def instance(attempt: int = 1, wrong: str = "") -> InstanceView:
    return {
        "id": "i", "backend": "sandbox", "region": "here", "zone": "", "instance_type": "small", "spot": False, "price": 0.5, "currency": "USD",
        "status": "refused" if wrong else "busy", "attempt": attempt, "wrong": wrong, "ending": "", "created_at": 0.0, "terminated_at": None,
    }  # fmt: skip


def job(status: str = "running", exit_code: int | None = None, message: str = "", attempt: int = 1) -> JobView:
    now = time.time()
    ended = status in ("done", "failed", "stopped", "aborted")
    return {
        "id": "shady-1.train", "name": "train", "status": status, "attempt": attempt, "exit_code": exit_code, "reason": "",
        "message": message, "submitted_at": now - 310.5, "started_at": now - 185.5, "finished_at": now if ended else None,
        "node": 0, "nodes": 1, "ports": [{"app": 8000, "local": 8001}], "needs": [], "instances": [instance()], "cost": 0.25, "currency": "USD",
    }  # fmt: skip


def run(status: str = "running", exit_code: int | None = None, message: str = "") -> RunView:
    now = time.time()
    ended = status in ("done", "failed", "stopped", "aborted")
    return {
        "name": "shady-1", "workflow": "train", "project": "main", "status": status, "tag": "", "variables": {}, "args": ["--lr", "0.1"],
        "submitted_at": now - 310.5, "finished_at": now if ended else None, "exit_code": exit_code, "cost": 0.25, "currency": "USD",
        "code": {"sha256": "ab" * 32, "size": 2048, "files": 3}, "git": None, "jobs": [job(status, exit_code, message)],
    }  # fmt: skip


def access(local: int, target: int) -> AccessView:
    ports: list[AccessPort] = [{"app": 8000, "local": local, "target": target, "page": ""}]
    way: WayView = {"endpoint": "", "client_key": "", "host_keys": []}
    return {**way, "jumps": [], "job": "train", "attempt": "i", "container": False, "folder": ".", "ports": ports}


def plan(paths: list[str] | None = None, needs_env: list[str] | None = None) -> PlanView:
    return {
        "workflow": "train",
        "variables": {},
        "jobs": [
            {
                "name": "train", "provider": "bash", "image": None, "paths": paths or [], "reads": [], "needs": [], "reused": "", "why": "", "nodes": 1, "setup": None,
                "offers": [
                    {"backend": "local", "region": "", "zone": "", "instance_type": "local", "resources": "2 CPUs",
                     "spot": False, "price": 0.0, "currency": "USD"},
                ],
            }
        ],
        "contents": ["."],
        "needs_env": needs_env or [],
        "secrets": [],
        "warnings": [],
    }  # fmt: skip


def workflow(name: str = "train", *, takes_args: bool = True, **variables: str) -> WorkflowDetail:
    """`g_x` is a global variable `x`."""
    return {
        "name": name, "help": "", "provider": "bash", "file": ".dstack/workflows.yaml", "line": 2, "takes_args": takes_args,
        "variables": [
            {
                "name": each.removeprefix("g_").replace("__", "-"),
                "default": value,
                "shared": each.startswith("g_"),
                "help": "",
            }
            for each, value in variables.items()
        ],
    }  # fmt: skip
