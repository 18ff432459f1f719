"""The interface of a backend: six methods, one attribute. Nothing above a backend asks which backend it is.

Errors: every method raises only `errors.BackendError` and its subclasses (NoCapacity, QuotaExceeded, NotAuthorized,
InvalidConfiguration, Throttled, Unavailable).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

from dstack_cloud.domain.resources import Machine, Offer, Requirements, allowed
from dstack_cloud.errors import BackendError, InvalidConfiguration
from dstack_cloud.ssh.endpoint import Trust


@dataclass(frozen=True)
class Capabilities:
    """`containers`: the machines run Docker. `default_image`: what a job without an image runs in ({python} is replaced by
    the version asked for); None: as a process group. `remote`: reached over SSH.

    `ephemeral`: a machine is made for the job and ends with it; it needs keys and user data. Else it was there before and
    stays, and the backend is a `KeptMachines`. `notice`: whose metadata service announces an interruption ("aws", "gcp",
    "azure"; "": none does). `store`: the scheme of the object store that a machine reaches with its own identity ("": none).
    `ending`: a script of sh that a machine runs as root before it powers off, where that alone leaves it in existence and
    billed: it deletes the machine. Twice does no harm.
    `same_network`: its jobs go out through this computer's network, so they must trust whom this computer trusts.
    `private_network`: machines of one region reach each other there, each at the `address` that is observed.
    `prices`: where its prices come from, for people; they are US dollars without taxes.
    """

    containers: bool
    default_image: str | None
    remote: bool
    ephemeral: bool = True
    spot: bool = False
    notice: str = ""
    store: str = ""
    self_termination: bool = False
    ending: str = ""
    same_network: bool = False
    private_network: bool = False
    prices: str = ""


@dataclass(frozen=True)
class Launch:
    """One create call. `key` is the idempotency key: the same key never makes a second machine.

    `user_data` is a cloud-init document ("" on backends that aren't remote); `lifetime` is seconds until the
    backend's own dead-man switch, where it has one, ends the machine; `tags` go onto everything created. `disk` is bytes
    at least, None: what the backend thinks enough. `store` is the URL of the home store, which the machine's own identity may
    be let into. `gpus` is how many of the machine's are the job's, where it is shared. `nodes`: with so many of the kind it is to
    work together.
    """

    key: str
    offer: Offer
    user_data: str = ""
    lifetime: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    disk: int | None = None
    store: str = ""
    gpus: int = 0
    nodes: int = 1


class Health(str, Enum):
    """STOPPED: it works no more, but is still there and may cost something, as machines of some clouds that powered themselves
    off: it must be terminated. GONE: nothing of it is left to terminate."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True)
class Observed:
    """`endpoint`: `unix:PATH` or `ssh:USER@HOST:PORT`, "" while it isn't known; `address` is its own in the private network.
    `detail`: why it is stopped or gone, if known. `grace`: so many seconds more than others it may take to answer, because something
    is installed first. `refusal`: it never came to be, as its cloud said only after the create call had been answered; another
    offer may do."""

    ref: str
    health: Health
    endpoint: str = ""
    detail: str = ""
    address: str = ""
    grace: float = 0.0
    refusal: BackendError | None = None

    @property
    def over(self) -> bool:
        """Whether its job's attempt can only have ended."""
        return self.health in (Health.STOPPED, Health.GONE)


@dataclass(frozen=True)
class Owned:
    """Something that carries this installation's owner tag. `key` is the Launch's, "" where it can't be told. `left`: a disk, an
    interface or an address that a machine left behind."""

    ref: str
    key: str
    left: bool = False


@dataclass(frozen=True)
class Finding:
    """One line of `dstack config check`: `fix` is what to do where it isn't ok."""

    ok: bool
    text: str
    fix: str = ""

    @classmethod
    def of(cls, refusal: BackendError) -> Finding:
        return cls(False, refusal.summary, refusal.hint or refusal.cloud_message or "see the message")


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

    def list_owned(self) -> list[Owned]:
        """All that may cost something: also machines that are stopped, and disks and addresses that one left behind."""
        ...

    def terminate(self, refs: Sequence[str]) -> None:
        """Succeeds when it is gone already. May return before the machine is gone: inspect tells. Asked again while it isn't."""
        ...


def offers_of(backend: Backend, requirements: Requirements) -> list[Offer]:
    """What fits. Raises InvalidConfiguration also where several machines are to work together and couldn't reach each other."""
    if requirements.nodes > 1 and not backend.capabilities.private_network:
        raise InvalidConfiguration(
            f"{backend.name} has no network in which {requirements.nodes} machines reach each other",
            "use a cloud, or `--backend sandbox` to rehearse it on this computer",
        )
    return backend.offers(requirements)


def offers_of_all(
    backends: Sequence[Backend], requirements: Requirements
) -> tuple[list[Offer], dict[str, BackendError]]:
    """What fits and is allowed on any of them, cheapest first, unknown prices last; and by name why the others have nothing.
    They are asked side by side: one that is slow to answer doesn't make the others wait."""

    def ask(backend: Backend) -> list[Offer] | BackendError:
        try:
            return [offer for offer in offers_of(backend, requirements) if allowed(offer, requirements)]
        except BackendError as refusal:
            return refusal

    if len(backends) == 1:
        answers = [ask(backends[0])]
    else:
        with ThreadPoolExecutor(max(len(backends), 1), "offers") as pool:
            answers = list(pool.map(ask, backends))
    offers = [offer for answer in answers if not isinstance(answer, BackendError) for offer in answer]
    refusals = {
        backend.name: answer
        for backend, answer in zip(backends, answers, strict=True)
        if isinstance(answer, BackendError)
    }
    return sorted(offers, key=lambda offer: offer.sort_key), refusals


@runtime_checkable
class KeptMachines(Protocol):
    """What a backend also has where `capabilities.ephemeral` is False."""

    def trust(self, ref: str) -> Trust:
        """The keys of the machine behind a ref, as the user configured them. Raises InvalidConfiguration."""
        ...


class Fault(str, Enum):
    """What may be done to a machine on purpose, to see what becomes of its job."""

    INTERRUPT = "interrupt"
    KILL = "kill"
    PAUSE = "pause"
    RESUME = "resume"
    CUT_NETWORK = "cut-network"
    RESTORE_NETWORK = "restore-network"
    SLOW_NETWORK = "slow-network"


@runtime_checkable
class Breakable(Protocol):
    """What a backend for rehearsals also has."""

    def inflict(self, ref: str, fault: Fault, value: float = 0.0) -> None:
        """`value`: INTERRUPT: seconds from the notice to the end (0: the cloud's own); SLOW_NETWORK: bits a second (0: as fast
        as it goes again). Raises NotFound where there is no such machine."""
        ...


@runtime_checkable
class DatedPrices(Protocol):
    """What a backend also has where its prices come from a list that is read now and then."""

    def priced_at(self) -> float | None:
        """When the oldest of them was read, UTC seconds; None: not yet."""
        ...


@dataclass(frozen=True)
class KeptSetup:
    """What a workflow's setup made, as a machine keeps it for later jobs. `size` is bytes, `used_at` UTC seconds."""

    ref: str
    workflow: str
    size: int
    used_at: float

    @property
    def key(self) -> str:
        """What it depends on (`runner_bootstrap.payload.setup_key`); the ref ends with it."""
        return self.ref.rpartition("/")[2].rpartition(":")[2]


@runtime_checkable
class KeepsSetups(Protocol):
    """What a backend also has whose machine keeps setups where the server can see and remove them."""

    def setups(self) -> list[KeptSetup]: ...

    def remove_setups(self, refs: Sequence[str]) -> None:
        """Succeeds when they are gone already. One that a job is using stays its own."""
        ...


@dataclass(frozen=True)
class PoolMachine:
    """A machine of the user's own. `machine` is None until it was looked at; `slots` is how many jobs it takes at once;
    `problem` is why it can't be used now."""

    name: str
    machine: Machine | None
    slots: int = 1
    problem: str = ""


@runtime_checkable
class Pool(Protocol):
    """What a backend also has whose machines are listed in the configuration. An offer's `instance_type` is a machine's name."""

    def pool(self) -> list[PoolMachine]: ...
