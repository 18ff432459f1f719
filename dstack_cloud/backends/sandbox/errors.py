"""The Docker Engine's refusals in the terms of every backend."""

from __future__ import annotations

from dstack_cloud.errors import BackendError, InvalidConfiguration, NoCapacity, Unavailable

START_ENGINE = (
    "install Docker Engine (https://docs.docker.com/engine/install/) and start it, or remove the sandbox backend"
)
JOIN_GROUP = "add yourself to the group `docker` and log in again, or set DOCKER_HOST to an engine of your own"


class Missing(InvalidConfiguration):
    """The engine has no such container, image, volume or network (404)."""


class Taken(Unavailable):
    """The name is in use, or the object is busy (409)."""


def refusal(status: int, message: str) -> BackendError:
    """The error for an HTTP answer of the engine; `message` stays as the cloud's own words.

    The statuses are those of the Engine API reference: 400 bad parameter, 404 no such object, 409 conflict, 5xx server error.
    """
    words = {"cloud_code": str(status), "cloud_message": message}
    if status == 404:
        return Missing(f"Docker: {message}", **words)
    if status == 409:
        return Taken(f"Docker: {message}", **words)
    if "no space left" in message or "non-overlapping IPv4 address pool" in message:
        return NoCapacity(f"Docker: {message}", "remove what you no longer need: `docker system df` shows it", **words)
    if status >= 500:
        return Unavailable(f"Docker: {message}", **words)
    return InvalidConfiguration(f"Docker refused: {message}", **words)


def unreachable(socket: str, cause: OSError) -> BackendError:
    """Nobody answers at `socket`."""
    if isinstance(cause, PermissionError):
        return InvalidConfiguration(
            f"you may not use the Docker engine at {socket}", JOIN_GROUP, cloud_message=str(cause)
        )
    if isinstance(cause, TimeoutError):
        return Unavailable(f"the Docker engine at {socket} doesn't answer in time", cloud_message=str(cause))
    return InvalidConfiguration(f"no Docker engine answers at {socket}", START_ENGINE, cloud_message=str(cause))
