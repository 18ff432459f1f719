"""One call for many machines, and none hidden by another's failure."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence

import pytest

from dstack_cloud import errors
from dstack_cloud.backends.base import Health, Observed
from dstack_cloud.orchestrator.observations import Observations
from tests.fakes.simulation import Chance, SimBackend

REFS = [f"m-{n}" for n in range(20)]


class Counting(SimBackend):
    """Counts its calls; one that is about a machine called `broken` fails."""

    def __init__(self, *, remote: bool = True) -> None:
        super().__init__(Chance(random.Random(1)), remote=remote)
        self.calls: list[int] = []
        self.broken = ""

    def inspect(self, refs: Sequence[str]) -> Mapping[str, Observed]:
        self.calls.append(len(refs))
        if self.broken in refs:
            raise errors.Unavailable("that region doesn't answer")
        return {ref: Observed(ref, Health.RUNNING) for ref in refs}


def test_many_steps_share_one_call() -> None:
    backend, shared = Counting(), Observations(spacing=60.0)
    threads = [threading.Thread(target=shared.look, args=("p", backend, ref, lambda: REFS)) for ref in REFS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backend.calls == [len(REFS)]


def test_a_new_machine_is_asked_after_at_once() -> None:
    backend, shared = Counting(), Observations(spacing=60.0)
    shared.look("p", backend, REFS[0], lambda: REFS)
    assert shared.look("p", backend, "new", lambda: [*REFS, "new"]).ref == "new"
    assert backend.calls == [20, 21]


def test_few_machines_are_never_told_old_news() -> None:
    backend, shared = Counting(), Observations(spacing=60.0)
    for _ in range(3):
        shared.look("p", backend, REFS[0], lambda: REFS[:2])
    assert backend.calls == [1, 1, 1]


def test_an_answer_as_old_as_allowed_will_do() -> None:
    backend, shared = Counting(), Observations(spacing=0.001)
    for age in (0.0, 60.0, 60.0):
        shared.look("p", backend, REFS[0], lambda: REFS, age)
    assert backend.calls == [20]


def test_a_region_that_does_not_answer_hides_no_machine_of_another() -> None:
    backend, shared = Counting(), Observations()
    backend.broken = REFS[3]
    assert shared.look("p", backend, REFS[0], lambda: REFS).health is Health.RUNNING
    with pytest.raises(errors.Unavailable):
        shared.look("p", backend, REFS[3], lambda: REFS)


def test_this_computers_machines_are_asked_after_one_by_one() -> None:
    backend, shared = Counting(remote=False), Observations(spacing=60.0)
    for ref in REFS[:5]:
        shared.look("p", backend, ref, lambda: REFS)
    assert backend.calls == [1] * 5
