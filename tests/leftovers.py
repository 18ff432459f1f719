"""What a test session left behind: things in the Docker engine, and processes of its temporary folders."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.needs import ask_engine, lacks_docker

KINDS = {
    "container": ("/containers/json?all=1", None, "Id"),
    "volume": ("/volumes", "Volumes", "Name"),
    "network": ("/networks", None, "Id"),
}


@dataclass(frozen=True)
class Before:
    """What was there when the session began: `docker` as `in_docker` says it, `processes` by id."""

    docker: set[str]
    processes: set[int]


def in_docker() -> set[str]:
    """Containers, volumes and networks with a label of the project's, as "container 3f2a… (dstack.attempt=…)"."""
    if lacks_docker():
        return set()
    return {text for kind in KINDS for text in _labelled(kind)}


def _labelled(kind: str) -> Iterator[str]:
    path, key, identity = KINDS[kind]
    answer = ask_engine(path)
    entries: list[dict[str, Any]] = (answer[key] if key else answer) or []
    for entry in entries:
        labels = {name: value for name, value in (entry.get("Labels") or {}).items() if name.startswith("dstack")}
        if labels:
            shown = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
            yield f"{kind} {entry[identity][:24]} ({shown})"


def processes(folder: Path) -> dict[int, str]:
    """Running processes whose command line, working folder or environment names `folder`, this one excepted.

    Empty where there is no /proc (macOS).
    """
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if pid != os.getpid() and os.fsencode(folder) in _about(entry):
            command = (entry / "cmdline").read_bytes() if (entry / "cmdline").exists() else b""
            found[pid] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def _about(process: Path) -> bytes:
    texts = []
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            texts.append((process / name).read_bytes())
    with contextlib.suppress(OSError):
        texts.append(os.fsencode((process / "cwd").readlink()))
    return b"\0".join(texts)


def remaining(folder: Path, before: Before, *, patience: float) -> list[str]:
    """What is left after `patience` seconds and wasn't there before. Ends the processes that it names."""
    deadline = time.monotonic() + patience
    while True:
        running = {pid: text for pid, text in processes(folder).items() if pid not in before.processes}
        left = sorted(in_docker() - before.docker) + [f"process {pid}: {text}" for pid, text in running.items()]
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left
