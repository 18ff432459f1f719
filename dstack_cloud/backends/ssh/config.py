"""The user's own machines, as config.yaml lists them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from dstack_cloud.domain.resources import Frozen


class Hop(Frozen):
    """How a machine is reached."""

    host: str = Field(min_length=1, description="Where its SSH server answers.")
    port: int = Field(default=22, ge=1, le=65535, description="The port of its SSH server.")
    user: str = Field("", description="Who logs in. Without it: the backend's `user`.")
    key: str = Field(
        "",
        description="The path of a private key without a passphrase. Without it: the backend's `key`, else what your SSH agent holds,"
        " else the usual files in `~/.ssh`.",
    )
    host_key: tuple[str, ...] = Field(
        (),
        description="What the machine must show: a public line (`ssh-ed25519 AAAA…`), a fingerprint (`SHA256:…`), or a list of such."
        " Without it: what `known_hosts` has for it.",
        json_schema_extra={"type": ["string", "array"]},
    )

    @field_validator("host_key", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("host_key")
    @classmethod
    def _looks_like_keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not text.startswith("SHA256:") and len(text.split()) < 2:
                raise ValueError(f"{text!r} is neither a public line (ssh-ed25519 AAAA…) nor a fingerprint (SHA256:…)")
        return value


class OwnMachine(Hop):
    """One of `machines`."""

    name: str = Field("", description="What it is called, as in `instance_types: big`. Without it: its `host`.")
    jobs: int | None = Field(
        default=None,
        ge=1,
        description="How many jobs it takes at once. Without it: as many as it has GPUs, at least one.",
    )
    price: float = Field(
        default=0.0,
        ge=0,
        description="USD per hour that it costs you, for `dstack offers` and where it competes with a cloud.",
    )
    jump: Hop | None = Field(
        None,
        description="The machine through which it is reached, where it is behind a NAT: `host`, `port`, `user`, `key`, `host_key` as"
        " above.",
    )


class SshConfig(Frozen):
    """The machines, and what holds for all of them."""

    machines: tuple[OwnMachine, ...] = Field((), description="The machines, each as below.")
    user: str = Field("", description="Who logs in to machines that name nobody.")
    key: str = Field("", description="The private key for machines that name none.")
    folder: str = Field(
        "/var/lib/dstack/leases", description="Where jobs live on a machine on which we may become root."
    )
    private_folder: str = Field(
        ".dstack-leases", description="Where they live where we may not, below the user's home folder."
    )
    known_hosts: Path = Field(Path("~/.ssh/known_hosts"), description="The file that says which host keys you know.")

    @model_validator(mode="after")
    def _names(self) -> SshConfig:
        """A machine's name is its host's, unless it has one; no two are alike."""
        named = tuple(
            machine.model_copy(
                update={
                    "name": machine.name or machine.host,
                    "user": machine.user or self.user,
                    "key": machine.key or self.key,
                }
            )
            for machine in self.machines
        )
        names = [machine.name for machine in named]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two machines are called {name!r}: give each a `name` of its own")
            if ":" in name or "/" in name:
                raise ValueError(f"{name!r} can't be a machine's name: it has a `:` or a `/`; give it a `name`")
        object.__setattr__(self, "machines", named)
        return self
