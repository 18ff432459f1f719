"""Where a runner and its courier live on a machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """Absolute paths. `base` has the programs, `folder` is the runner's own, `private` is on no disk (tmpfs).

    `ephemeral`: the machine was made for this runner and ends with it. Else it stays, others use it too, `suffix` tells this
    runner's units from theirs, and where there is no root it does without.
    """

    base: str
    folder: str
    socket: str
    private: str
    suffix: str = ""
    ephemeral: bool = True

    @property
    def python(self) -> str:
        """A link to the interpreter that was found, or installed."""
        return f"{self.base}/python"

    @property
    def program(self) -> str:
        return f"{self.base}/runner.pyz"

    @property
    def courier(self) -> str:
        return f"{self.base}/courier.pyz"

    @property
    def unit(self) -> str:
        return f"dstack-runner{self.suffix}.service"

    @property
    def courier_unit(self) -> str:
        return f"dstack-courier{self.suffix}.service"


MACHINE = Placement("/opt/dstack", "/var/lib/dstack/runner", "/run/dstack/runner.sock", "/run/dstack-courier")


def lease(folder: str) -> Placement:
    """A place on a machine that stays: everything is in `folder`, whose last name is the lease's and is never used again."""
    key = folder.rpartition("/")[2]
    private = f"/dev/shm/dstack-{key}"  # noqa: S108 - made with mode 0700, and refused where it is another's
    return Placement(folder, folder, f"{folder}/socket", private, f"-{key}", ephemeral=False)
