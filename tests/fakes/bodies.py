"""What an emulated cloud and the hypervisor that gives its instances bodies tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Birth:
    """What a machine is made from. `id` is the instance's, `identity` whom it may act as (a role, a service account), "" for
    nobody."""

    id: str
    region: str
    zone: str
    type: str
    spot: bool
    user_data: str
    identity: str = ""


class Cloud(Protocol):
    """Whose instances have bodies. Each method but `documents` raises LookupError for an instance that it doesn't know any more."""

    def documents(self, birth: Birth, address: str) -> Mapping[str, str]:
        """{path: text} of what its metadata service says beside what every sandbox machine's does. Asked before the boot, and
        again when its `address` is known."""
        ...

    def running(self, id: str, address: str) -> None:
        """Its body has come up there."""
        ...

    def stopped_itself(self, id: str) -> None:
        """It powered itself off."""
        ...

    def died(self, id: str) -> None:
        """Its hardware failed."""
        ...

    def broken(self, id: str) -> None:
        """It doesn't boot."""
        ...

    def gone(self, id: str) -> None:
        """Its body is no more, as it was told."""
        ...


class Machines(Protocol):
    """What a cloud may ask of its hypervisor; ids are those of instances."""

    def boot(self, birth: Birth) -> None: ...
    def announce(self, id: str, seconds: float) -> None:
        """Its metadata service says that it will be ended in so many seconds."""
        ...

    def soft_off(self, id: str) -> None:
        """As ACPI does it: what runs in it is told to shut down, and does so in its own time."""
        ...

    def end(self, id: str, *, abruptly: bool = False) -> None:
        """`abruptly`: as hardware does that fails; the cloud isn't told."""
        ...
