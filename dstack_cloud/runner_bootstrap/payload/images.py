"""Gets a job's image into the engine, and says what stands in the way in words that help."""

from __future__ import annotations

import shutil
import time

from dstack_cloud.runner_bootstrap.payload.engine import Engine, EngineError, EngineUnavailable, Json
from dstack_cloud.runner_bootstrap.payload.executor import Failure, Say
from dstack_cloud.runner_bootstrap.payload.job import Job

FULL = ("no space left on device", "disk quota exceeded")
LOGIN = (
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "access denied",
    "access to the resource is denied",
)
MISSING = ("manifest unknown", "not found", "repository does not exist", "name unknown")


def fetch(engine: Engine, job: Job, say: Say) -> None:
    """Pulled only where the engine doesn't have it. Raises Failure."""
    try:
        if engine.image_exists(job.image):
            return
        say(f"pulling {job.image}")
        progress = Progress()
        for record in engine.pull(job.image, job.registry_auth):
            say(f"pulling {job.image}{progress.after(record)}")
        if not engine.image_exists(job.image):
            raise EngineError("the pull broke off, and the engine doesn't say why")
    except EngineUnavailable as error:
        raise Failure("start", f"{error.message}; start Docker, or run the workflow without an image") from error
    except EngineError as error:
        why = explained(error.message, logged_in=job.registry_auth is not None)
        if is_full(error.message):
            why = f"the machine's disk is full{_room(engine)}; ask for a larger disk ({error.message})"
        raise Failure("image", f"the image {job.image} can't be had: {why}") from error


def is_full(message: str) -> bool:
    return any(text in message.lower() for text in FULL)


def explained(message: str, *, logged_in: bool) -> str:
    """The engine's words, and what they most likely come from."""
    found = message.lower()
    if any(text in found for text in LOGIN):
        if logged_in:
            return f"the registry refuses the login in `registry_auth`, or has no such image ({message})"
        return (
            f"there is no such image, or its registry wants a login: check the name, or set `registry_auth` ({message})"
        )
    if any(text in found for text in MISSING):
        return f"there is no such image: check its name and tag ({message})"
    return message


def _room(engine: Engine) -> str:
    """What the disk of the engine's images has; "" where that can't be told."""
    try:
        usage = shutil.disk_usage(str(engine.info()["DockerRootDir"]))
    except (EngineError, KeyError, OSError):
        return ""
    return f" (it has {usage.total / 2**30:.1f} GB, {usage.free / 2**30:.1f} of them free without the image)"


class Progress:
    """Sums up a pull's records: the part of the layers' bytes that are here."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._said_at = 0.0
        self._text = ""

    def after(self, record: Json) -> str:
        """ ", 40 %" once the sizes are known; renewed twice a second at most."""
        detail = record.get("progressDetail") or {}
        if record.get("status") == "Downloading" and detail.get("total"):
            self._layers[record["id"]] = (int(detail.get("current", 0)), int(detail["total"]))
        elif record.get("status") in ("Download complete", "Pull complete") and record.get("id") in self._layers:
            total = self._layers[record["id"]][1]
            self._layers[record["id"]] = (total, total)
        now = time.monotonic()
        total = sum(size for _, size in self._layers.values())
        if total and now - self._said_at >= 0.5:
            self._said_at = now
            self._text = f", {100 * sum(done for done, _ in self._layers.values()) // total} %"
        return self._text
