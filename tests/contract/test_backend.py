"""What every backend must do; each kind subclasses the suite."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Backend, Breakable, Fault, Health, Launch, Observed
from dstack_cloud.backends.sandbox.backend import SandboxBackend
from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.domain.resources import GpuRequirement, Requirements
from dstack_cloud.errors import InvalidConfiguration, NotFound

BOOT_SECONDS = 120
END_SECONDS = 60


def await_health(backend: Backend, ref: str, health: Health, seconds: float) -> Observed:
    deadline = time.monotonic() + seconds
    while (seen := backend.inspect([ref])[ref]).health is not health:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


class BackendContract:
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        raise AssertionError("a subclass says which; it ends everything that is left")

    @pytest.fixture
    def launch(self, backend: Backend) -> Launch:
        return Launch(
            key=uuid.uuid4().hex, offer=backend.offers(Requirements())[0], lifetime=600, tags={"dstack.run": "a-1"}
        )

    def test_it_is_what_its_findings_say(self, backend):
        findings = backend.validate()
        assert findings
        assert all(finding.ok or finding.fix for finding in findings)

    def test_offers_are_its_own_and_fit(self, backend):
        for offer in backend.offers(Requirements(cpu=1)):
            assert offer.backend == backend.name
            assert offer.machine.cpu >= 1
            assert offer.price is None or offer.price >= 0

    @pytest.mark.parametrize(
        "requirements",
        [
            Requirements(cpu=100_000),
            Requirements(memory=2**60),
            Requirements(gpu=GpuRequirement(name="none such", count=99)),
        ],
    )
    def test_what_is_too_large_is_refused_with_the_reason(self, backend, requirements):
        with pytest.raises(InvalidConfiguration, match="needs"):
            backend.offers(requirements)

    def test_a_launch_becomes_a_machine_that_can_be_reached(self, backend, launch):
        ref = backend.create(launch)
        seen = await_health(backend, ref, Health.RUNNING, BOOT_SECONDS)
        assert seen.ref == ref
        assert seen.endpoint.partition(":")[0] == ("ssh" if backend.capabilities.remote else "unix")

    def test_the_same_key_is_the_same_machine(self, backend, launch):
        ref = backend.create(launch)
        first = await_health(backend, ref, Health.RUNNING, BOOT_SECONDS)
        assert backend.create(launch) == ref
        assert backend.inspect([ref])[ref] == first
        assert [(owned.ref, owned.key) for owned in backend.list_owned()] == [(ref, launch.key)]

    def test_terminated_twice_it_is_gone(self, backend, launch):
        ref = backend.create(launch)
        backend.terminate([ref])
        await_health(backend, ref, Health.GONE, END_SECONDS)
        backend.terminate([ref])
        assert ref not in [owned.ref for owned in backend.list_owned()]

    def test_what_never_was_is_gone(self, backend):
        ref = uuid.uuid4().hex
        assert backend.inspect([ref])[ref].health is Health.GONE
        assert backend.inspect([]) == {}
        backend.terminate([ref])

    def test_one_of_two_machines_ends_alone(self, backend, launch):
        other = Launch(key=uuid.uuid4().hex, offer=launch.offer)
        refs = [backend.create(launch), backend.create(other)]
        assert len(set(refs)) == 2
        backend.terminate(refs[:1])
        await_health(backend, refs[0], Health.GONE, END_SECONDS)
        await_health(backend, refs[1], Health.RUNNING, BOOT_SECONDS)


@pytest.mark.sandbox
class TestSandbox(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path):
        made = SandboxBackend(SandboxConfig(), tmp_path, f"test-{uuid.uuid4().hex[:12]}")
        yield made
        made.terminate([owned.ref for owned in made.list_owned()])
        made.close()

    def test_it_can_be_broken_but_not_what_is_not_there(self, backend):
        assert isinstance(backend, Breakable)
        with pytest.raises(NotFound):
            backend.inflict("dstack-never-was", Fault.KILL)

    def test_another_installation_neither_sees_nor_takes_it(self, backend, launch, tmp_path):
        ref = backend.create(launch)
        other = SandboxBackend(SandboxConfig(), tmp_path / "other", f"test-{uuid.uuid4().hex[:12]}")
        assert other.list_owned() == []
        assert other.inspect([ref])[ref].health is Health.GONE
        with pytest.raises(InvalidConfiguration, match="not ours"):
            other.create(launch)
        other.terminate([])
        other.close()
