"""The local backend under the suite of all backends, and what is its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Backend, Health, Launch
from dstack_cloud.backends.local.backend import LocalBackend
from dstack_cloud.backends.local.client import remove_tree
from dstack_cloud.backends.local.config import LocalConfig, Mode
from dstack_cloud.domain.resources import Requirements
from dstack_cloud.errors import InvalidConfiguration
from tests.contract.test_backend import END_SECONDS, BackendContract, await_health


def local(home: Path, mode: Mode = Mode.PROCESS) -> LocalBackend:
    return LocalBackend(LocalConfig(mode=mode), home, "dstack-cloud/job:py{python}")


class TestLocal(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = local(tmp_path)
        yield backend
        for owned in backend.list_owned():
            backend.terminate([owned.ref])
            await_health(backend, owned.ref, Health.GONE, END_SECONDS)

    def test_it_finds_its_runners_again_after_a_restart(self, backend: Backend, launch: Launch, tmp_path: Path) -> None:
        ref = backend.create(launch)
        again = local(tmp_path)
        assert again.create(launch) == ref
        assert again.inspect([ref])[ref].health is Health.RUNNING
        again.terminate([ref])
        await_health(again, ref, Health.GONE, END_SECONDS)

    def test_terminated_it_leaves_no_folder(self, backend: Backend, launch: Launch, tmp_path: Path) -> None:
        ref = backend.create(launch)
        backend.terminate([ref])
        await_health(backend, ref, Health.GONE, END_SECONDS)
        backend.terminate([ref])
        assert not (tmp_path / "runners" / ref).exists()

    def test_an_image_needs_docker(self, backend: Backend) -> None:
        with pytest.raises(InvalidConfiguration, match="Docker"):
            backend.offers(Requirements(image="python:3.11"))


def test_a_tree_with_read_only_folders_goes_too(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "read-only" / "deeper"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    inner.chmod(0o500)
    inner.parent.chmod(0o500)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
