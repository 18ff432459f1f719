"""The interface of a backend: six methods, one attribute. Nothing above a backend asks which backend it is.

Errors: every method raises only `errors.BackendError` and its subclasses (NoCapacity, QuotaExceeded, NotAuthorized,
InvalidConfiguration, Throttled, Unavailable).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from dstack_cloud.domain.resources import Offer, Requirements


@dataclass(frozen=True)
class Capabilities:
    """`containers`: the machines run Docker. `default_image`: what a job without an image runs in ({python} is replaced by
    the version asked for); None: as a process group. `remote`: reached over SSH, so it needs keys and user data."""

    containers: bool
    default_image: str | None
    remote: bool
    spot: bool = False
    notice: bool = False
    self_termination: bool = False


@dataclass(frozen=True)
class Launch:
    """One create call. `key` is the idempotency key: the same key never makes a second machine.

    `user_data` is a cloud-init document ("" on backends that aren't remote); `lifetime` is seconds until the
    backend's own dead-man switch, where it has one, ends the machine; `tags` go onto everything created.
    """

    key: str
    offer: Offer
    user_data: str = ""
    lifetime: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)


class Health(str, Enum):
    STARTING = "starting"
    RUNNING = "running"
    GONE = "gone"


@dataclass(frozen=True)
class Observed:
    """`endpoint`: `unix:PATH` or `ssh:USER@HOST:PORT`, "" while it isn't known. `detail`: why it is gone, if known."""

    ref: str
    health: Health
    endpoint: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Owned:
    """Something that carries this installation's owner tag. `key` is the Launch's, "" where it can't be told."""

    ref: str
    key: str


@dataclass(frozen=True)
class Finding:
    """One line of `dstack config check`: `fix` is what to do where it isn't ok."""

    ok: bool
    text: str
    fix: str = ""


class Backend(Protocol):
    name: str

    @property
    def capabilities(self) -> Capabilities: ...

    def validate(self) -> list[Finding]: ...

    def offers(self, requirements: Requirements) -> list[Offer]:
        """What fits, in any order. Raises InvalidConfiguration with the reason where nothing here ever can."""
        ...

    def create(self, launch: Launch) -> str:
        """Makes the machine, or finds the one this key made before; returns its ref. Doesn't wait for the boot."""
        ...

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        """One call for all of them; an unknown ref is GONE."""
        ...

    def list_owned(self) -> list[Owned]: ...

    def terminate(self, refs: Sequence[str]) -> None:
        """Succeeds when it is gone already. May return before the machine is gone: inspect tells."""
        ...
