"""Following a runner whose machine carries by itself: what was lent to it is renewed, and who carries stays as it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from dstack_cloud import errors
from dstack_cloud.courier.errand import Errand as Carried
from dstack_cloud.courier.errand import MachineStore
from dstack_cloud.domain.runs import Instance
from dstack_cloud.orchestrator.errands import errand_of
from dstack_cloud.orchestrator.keys import KeyStore
from dstack_cloud.orchestrator.links import RunnerLinks
from dstack_cloud.orchestrator.watch import Watch
from tests.fakes.simulation import Chance, SimBackend
from tests.unit.orchestrator.errand import Errand, wait_until


@dataclass
class Lender:
    """A store whose credentials are lent, or not."""

    lent: Mapping[str, str] | errors.StoreError | None
    url: str = "s3://bucket"
    options: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0
    foreign: bool = False

    def lend(self, prefixes: Sequence[str], seconds: int, reads: Sequence[str] = ()) -> Mapping[str, str] | None:
        self.asked += 1
        if isinstance(self.lent, errors.StoreError):
            raise self.lent
        return self.lent


class Shipping(RunnerLinks):
    """Links that take note of what would be brought to the machine."""

    shipped: list[MachineStore | None]

    def send_courier(self, instance: Instance, errand: Carried, store: MachineStore | None) -> bool:
        self.shipped.append(store)
        return True


@dataclass
class Site:
    errand: Errand
    lender: Lender
    links: Shipping
    watch: Watch


@pytest.fixture
def site(errand: Errand) -> Iterator[Site]:
    """A machine whose outputs are being saved by itself, and a server that has just been started."""
    errand.hand_over("true")
    errand.rig.wait("uploading")
    links = Shipping(KeyStore(errand.rig.base / "machine-keys"))
    links.shipped = []
    lender = Lender(None)
    backend = SimBackend(Chance(Random(0)), name="local", remote=True)
    world = replace(errand.world, links=links, access={"main": lender}, backends={"main": {"local": backend}})
    watch = Watch(world, errand.instance, errand_of(errand.instance, errand.job))
    yield Site(errand, lender, links, watch)
    watch.stop()
    links.forget(errand.instance, keys=True)


def follow(site: Site) -> threading.Thread:
    thread = threading.Thread(target=site.watch.run, daemon=True)
    thread.start()
    return thread


def test_credentials_are_renewed_also_while_outputs_are_saved(site: Site) -> None:
    site.lender.lent = {"access_key_id": "new"}
    follow(site)
    wait_until(lambda: site.links.shipped, "new credentials")
    assert [store.credentials for store in site.links.shipped if store] == [{"access_key_id": "new"}]


@pytest.mark.parametrize("lent", [None, errors.StoreError("STS is away")])
def test_where_nothing_can_be_lent_the_machine_goes_on_carrying(site: Site, lent: errors.StoreError | None) -> None:
    site.lender.lent = lent
    thread = follow(site)
    wait_until(lambda: site.lender.asked, "the question")
    site.watch.stop()
    thread.join(60)
    assert (site.links.shipped, site.watch.unreachable_for) == ([], 0.0)
