"""Of the JSON that server and client exchange, what is about machines: offers, those that exist, and what is asked of them."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class Overrides(TypedDict, total=False):
    """What the command line asks for on top of the file."""

    backends: list[str]
    spot_policy: Literal["spot", "on-demand", "auto"]
    max_price: float
    gpu: str


class OfferView(TypedDict):
    backend: str
    region: str
    zone: str
    instance_type: str
    resources: str
    spot: bool
    price: float | None
    currency: str


class OffersRequest(TypedDict):
    """What a machine must have; sizes as people write them (`16GB`), "" where it doesn't matter."""

    overrides: Overrides
    cpu: int | None
    memory: str
    disk: str
    regions: list[str]


class RefusalView(TypedDict):
    """Why a backend offers nothing."""

    backend: str
    summary: str
    hint: str | None


class OffersView(TypedDict):
    """Cheapest first, unknown prices (None) last. By backend: `priced_at` is when its prices were read (one whose prices couldn't be
    isn't there), `price_lists` where they come from."""

    offers: list[OfferView]
    refusals: list[RefusalView]
    priced_at: dict[str, float]
    price_lists: dict[str, str]


class FindingView(TypedDict):
    """`subject` is a backend, or `store`; `fix` is what to do where it isn't ok."""

    subject: str
    ok: bool
    text: str
    fix: str


class MachineView(TypedDict):
    """A machine that exists: `run` is "" for an orphan, which no living row of this installation owns."""

    id: str
    ref: str
    backend: str
    region: str
    zone: str
    instance_type: str
    spot: bool
    price: float | None
    status: str
    run: str
    job: str
    created_at: float | None
    cost: float | None
    currency: str


class RunnerView(TypedDict):
    """A machine of the user's own: `busy` are the jobs on it, `slots` how many it takes at once."""

    backend: str
    name: str
    resources: str
    slots: int
    busy: list[str]
    problem: str


class InstanceView(TypedDict):
    """One offer tried. `wrong`: why it was refused ("Code: text") or ended early; `ending` is interrupted, lost, mute (it never
    answered) or failed where the machine ended before its job did, else empty."""

    id: str
    backend: str
    region: str
    zone: str
    instance_type: str
    spot: bool
    price: float | None
    currency: str
    status: str
    attempt: int
    wrong: str
    ending: str
    created_at: float
    terminated_at: float | None
