"""What SSH and the machine say, in the terms of every backend."""

from __future__ import annotations

from dstack_cloud.errors import BackendError, HostKeyMismatch, InvalidConfiguration, NoCapacity, SshError, Unavailable

# the scripts' own exit codes, above those of a shell
BUSY = 75
NO_GPU = 76


def unreachable(name: str, error: SshError) -> BackendError:
    """Another host key is never tried again; what doesn't answer may do so later."""
    words = {"cloud_code": error.code, "cloud_message": error.summary}
    if isinstance(error, HostKeyMismatch):
        return InvalidConfiguration(
            f"{name}: {error.summary}", "if the machine was set up anew, correct its `host_key`", **words
        )
    return Unavailable(f"{name} can't be reached: {error.summary}", error.hint, **words)


def refused(name: str, code: int, said: str) -> BackendError:
    """For a script that ended with another code than 0."""
    words = {"cloud_code": str(code), "cloud_message": said}
    if code == BUSY:
        return NoCapacity(f"{name} is busy: {said}", "it takes the next job when one of those has ended", **words)
    if code == NO_GPU:
        return NoCapacity(f"{name} has not enough free GPUs: {said}", "wait for a job on it to end", **words)
    return Unavailable(f"{name}: {said or f'exit code {code}'}", "look at the machine", **words)
