"""The user's own machines, as config.yaml lists them."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from dstack_cloud.domain.resources import Frozen


class Hop(Frozen):
    """How a machine is reached. `key` is the path of a private key, empty: the SSH agent's, else the usual files in ~/.ssh;
    `host_key` is a public line (`ssh-ed25519 AAAA…`) or a fingerprint (`SHA256:…`), or several, empty: what ~/.ssh/known_hosts
    has for it."""

    host: str = Field(min_length=1)
    port: int = Field(default=22, ge=1, le=65535)
    user: str = ""
    key: str = ""
    host_key: tuple[str, ...] = ()

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
    """`jobs` is how many it takes at once: by default as many as it has GPUs, else one. `price` is USD per hour, what it costs
    you. `jump` is the machine through which it is reached, where it is behind a NAT."""

    name: str = ""
    jobs: int | None = Field(default=None, ge=1)
    price: float = Field(default=0.0, ge=0)
    jump: Hop | None = None


class SshConfig(Frozen):
    """`user` and `key` hold for machines that name none. `folder` is where leases and runners live on a machine on which we may
    become root, `private_folder` (relative to the user's home) where we may not."""

    machines: tuple[OwnMachine, ...] = ()
    user: str = ""
    key: str = ""
    folder: str = "/var/lib/dstack/leases"
    private_folder: str = ".dstack-leases"
    known_hosts: Path = Path("~/.ssh/known_hosts")

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
