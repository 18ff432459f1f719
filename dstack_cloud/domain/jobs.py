"""What a provider makes of a workflow: the specification of one container or process group."""

from __future__ import annotations

from pydantic import Field

from dstack_cloud.domain.resources import Frozen, Requirements

GRACE_SECONDS = 10
# the provider of what was uploaded: it is over, and has nothing to run
UPLOAD = "upload"


class SavedPath(Frozen):
    """A path to save as artifact or cache: relative to the working folder, or `~/…` for the job's home."""

    path: str
    mount: bool = False


class PortMapping(Frozen):
    """`app`: what the program listens on; `local`: the port on the user's computer that leads to it. `page` is what of the address
    stands behind the port; `token` the variable of the job's environment whose value it ends in, as `token_in`."""

    app: int
    local: int
    page: str = ""
    token: str = ""
    token_in: str = "token"  # noqa: S105 - no token, but its name


class JobSpec(Frozen):
    """All of a job that may be kept in plain. `max_duration` is seconds; `grace` is seconds from SIGTERM to SIGKILL.

    `image` None means: the default image where there is Docker, else a process group on the machine itself.
    `retry_seconds` is for how long to go on looking for a machine while all offers are refused; None: each is tried once, but a job
    that lost its machine goes on; 0: neither.
    `secrets` are the names of those that its workflow refers to: it isn't started without them.
    `reads` are the files and folders of the working folder without which it can't run.
    `commands` run in one bash, each after the one before succeeded; empty means the image's own command. `installs`: they
    install Python packages, for which a process group gets an environment of its own. `setup`: commands whose result is made once
    and kept for later jobs; `rebuild`: made anew.
    """

    workflow: str
    provider: str
    commands: tuple[str, ...] = ()
    image: str | None = None
    entrypoint: tuple[str, ...] | None = None
    python: str | None = None
    installs: bool = False
    working_dir: str = "."
    reads: tuple[str, ...] = ()
    home_dir: str | None = None
    artifacts: tuple[SavedPath, ...] = ()
    cache: tuple[SavedPath, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    requirements: Requirements = Requirements()
    max_duration: int | None = None
    retry_seconds: int | None = None
    grace: int = GRACE_SECONDS
    secrets: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    rebuild: bool = False

    @property
    def nodes(self) -> int:
        """How many machines run it together."""
        return self.requirements.nodes


class RegistryAuth(Frozen):
    username: str
    password: str


class Confidential(Frozen):
    """What is sealed at rest and travels to the runner over the link only. Its strings may have places of secrets, see
    `domain.secrets`."""

    env: dict[str, str] = Field(default_factory=dict)
    registry_auth: RegistryAuth | None = None
