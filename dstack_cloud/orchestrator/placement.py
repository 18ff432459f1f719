"""Which offer is tried next, and what to say when all were refused. Pure functions of what was read."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from dstack_cloud.domain.refusals import PASSING, PLACED, code_of, text_of, words_of
from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.runs import Instance, Job
from dstack_cloud.domain.states import Ending, InstanceStatus

# for how long an attempt that its machine lost looks for the next one, where the workflow has no `retry`, seconds
RESUME_SECONDS = 3600.0
# between two rounds in which all offers are refused, seconds
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
# so many regions must say "not authorized" before it is taken for the whole backend's answer
SAME_ANSWERS = 2
# the place that took a machine back is asked again before what costs more than so many times as much
BURNT_FACTOR = 1.5
# of the refused launches of earlier rounds so many are kept to be looked at
KEPT_REFUSALS = 200

OfferKey = tuple[str, str, str, str, bool]
QuotaKey = tuple[str, str, bool, str]
TypeKey = tuple[str, str, bool, str]


@dataclass
class _Closed:
    """What a round's refusals rule out. `quotas`: from how many CPUs on; `types` by backend, region, market and type."""

    offers: set[OfferKey] = field(default_factory=set)
    regions: set[tuple[str, str]] = field(default_factory=set)
    backends: set[str] = field(default_factory=set)
    quotas: dict[QuotaKey, int] = field(default_factory=dict)
    types: set[TypeKey] = field(default_factory=set)

    def admits(self, offer: Offer) -> bool:
        return not (
            offer.backend in self.backends
            or (offer.backend, offer.region) in self.regions
            or offer.key in self.offers
            or _type_key(offer) in self.types
            or offer.machine.cpu >= self.quotas.get(_quota_key(offer), offer.machine.cpu + 1)
        )


def _quota_key(offer: Offer) -> QuotaKey:
    """Clouds count quotas by region, market and kind of machine; where they don't say which families share one, a GPU's name
    stands for it."""
    gpus = offer.machine.gpus
    return (offer.backend, offer.region, offer.spot, gpus[0].name if gpus else "")


def _type_key(offer: Offer) -> TypeKey:
    return (offer.backend, offer.region, offer.spot, offer.instance_type)


def _closed(refused: Iterable[Instance]) -> _Closed:
    closed = _Closed()
    forbidden: dict[str, set[str]] = {}
    for launch in refused:
        offer, code = launch.offer, code_of(launch.wrong)
        closed.offers.add(offer.key)
        if code == "QuotaExceeded" and launch.scope == "type":
            closed.types.add(_type_key(offer))
        elif code == "QuotaExceeded":
            key = _quota_key(offer)
            closed.quotas[key] = min(offer.machine.cpu, closed.quotas.get(key, offer.machine.cpu))
        elif code == "InvalidConfiguration" and launch.scope != "region":
            closed.backends.add(offer.backend)
        elif code != "NoCapacity":
            closed.regions.add((offer.backend, offer.region))
        if code == "NotAuthorized" and launch.scope != "region":
            forbidden.setdefault(offer.backend, set()).add(offer.region)
    closed.backends.update(backend for backend, regions in forbidden.items() if len(regions) >= SAME_ANSWERS)
    return closed


def refused_in(launches: Sequence[Instance], attempt: int, round_: int) -> list[Instance]:
    """One an offer, however many nodes it was tried for: that which rules out most."""
    refused = [
        launch
        for launch in launches
        if launch.attempt == attempt and launch.round == round_ and launch.status is InstanceStatus.REFUSED
    ]
    # no capacity says the least: of two nodes that were refused, one may have found the last place, and the other the quota
    telling = sorted(refused, key=lambda launch: code_of(launch.wrong) != "NoCapacity")
    kept = {launch.offer.key: launch.id for launch in telling}
    return [launch for launch in refused if kept[launch.offer.key] == launch.id]


def burnt(launches: Iterable[Instance]) -> frozenset[OfferKey]:
    """Where the job's machines were taken back or lost."""
    return frozenset(launch.offer.key for launch in launches if launch.ending not in (Ending.NONE, Ending.FAILED))


def next_offer(
    offers: Sequence[Offer], refused: Sequence[Instance], avoided: Collection[OfferKey] = ()
) -> Offer | None:
    """The cheapest offer that the round's refusals leave: no capacity closes a zone's type, a quota what needs as much of it
    (one of a family's only the type), a missing permission the region, and then its backend, a wrong configuration the backend."""
    closed = _closed(refused)

    def order(offer: Offer) -> tuple[bool, float, bool]:
        unknown, price = offer.sort_key
        avoid = offer.key in avoided
        return (unknown, price * (BURNT_FACTOR if avoid else 1.0), avoid)

    return min((offer for offer in offers if closed.admits(offer)), key=order, default=None)


def may_pass(refused: Iterable[Instance]) -> bool:
    """Whether a later round may end otherwise."""
    return any(code_of(launch.wrong) in PASSING for launch in refused)


def search_until(job: Job) -> float | None:
    """Until when all offers are tried again; None: each is tried once. A job that lost its machine always goes on looking."""
    if job.searching_since is None:
        return None if job.spec.retry_seconds is None else job.submitted_at + job.spec.retry_seconds
    return job.searching_since + (RESUME_SECONDS if job.spec.retry_seconds is None else job.spec.retry_seconds)


def pause(job: Job, longest: float = LONGEST_PAUSE) -> float:
    """Seconds before the next round; jobs that were refused together don't come back together."""
    spread = 0.8 + 0.4 * (zlib.crc32(job.id.encode()) % 1000) / 1000
    return min(FIRST_PAUSE * 2.0 ** min(job.round, 10), longest) * spread


def waiting_message(refused: Sequence[Instance], until: float | None, said: str = "") -> str:
    """`until` is None where it waits for its turn on machines that stay."""
    if until is None:
        return f"waiting: {said or text_of(refused[-1].wrong)}"
    return f"{_tally(refused) if refused else said}; waiting to try again, until {clock_text(until)}"


def no_offer_message(refused: Sequence[Instance], rounds: int = 0, said: str = "") -> str:
    """ "11 offers tried: 8 no capacity, 2 quota, 1 not authorized in eu-west-3; last: …"."""
    if not refused:
        return said or "no offer fits what the workflow asks for"
    last = text_of(refused[-1].wrong)
    if len(refused) == 1 and not rounds:
        return last
    return f"{_tally(refused, rounds)}; last: {last}"


def _tally(refused: Sequence[Instance], rounds: int = 0) -> str:
    counts = Counter(words_of(launch.wrong) for launch in refused)
    kinds = ", ".join(f"{count} {words}{_where(refused, words)}" for words, count in counts.most_common())
    offers = f"{len(refused)} offer{'s' if len(refused) != 1 else ''} tried"
    return f"{offers}{f', {rounds + 1} times' if rounds else ''}: {kinds}"


def _where(refused: Sequence[Instance], words: str) -> str:
    same = [launch for launch in refused if words_of(launch.wrong) == words]
    regions = list(dict.fromkeys(launch.offer.region for launch in same if launch.offer.region))
    if not regions or code_of(same[0].wrong) not in PLACED:
        return ""
    return f" in {', '.join(regions[:3])}{' …' if len(regions) > 3 else ''}"


def place_text(offer: Offer) -> str:
    """ "aws eu-west-1a (spot)"."""
    # a zone's name begins with its region's on most clouds
    zone = offer.zone if offer.zone.startswith(offer.region) else f"{offer.region} {offer.zone}".strip()
    place = offer.backend if zone in ("", offer.backend) else f"{offer.backend} {zone}"
    return f"{place} (spot)" if offer.spot else place


def refused_message(launch: Instance) -> str:
    offer = launch.offer
    return f"{words_of(launch.wrong)} for {offer.instance_type} on {place_text(offer)}; trying the next offer"


def clock_text(moment: float) -> str:
    return time.strftime("%H:%M UTC", time.gmtime(moment))
