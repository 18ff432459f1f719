"""A container has what is mounted over a layer of its image as if it had been written there."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import docker_setup, mounted_layer
from dstack_cloud.runner_bootstrap.payload.container import ATTEMPT_LABEL
from dstack_cloud.runner_bootstrap.payload.engine import Engine, frames
from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.storage import packing
from tests.unit.runner.rig import tar_of

pytestmark = pytest.mark.docker
DELETED = docker_setup.DELETED
ATTEMPT = f"unit-test-of-layers-{os.getpid()}"
NAME = f"{mounted_layer.REPOSITORY}:{ATTEMPT}"
SHOW = "cat /opt/file; ls /root; test ! -e /bin/yes && echo gone; echo mine > /opt/file; cat /opt/file"


@pytest.fixture
def folder(image: str) -> Iterator[Path]:
    """The engine's own, with an image over which something can be mounted."""
    engine = Engine()
    found = mounted_layer.engines_folder(engine)
    if found is None:
        pytest.skip(
            "only root mounts, only Linux from 6.12 on without a loop device, and only over layers of overlayfs"
        )
    made = engine.create({"Image": image, "Cmd": ["true"]})
    mounted_layer.make_image(engine, made, ATTEMPT, {"Labels": mounted_layer.labels(ATTEMPT)})
    engine.remove(made)
    yield found
    mounted_layer.release(engine, ATTEMPT)
    assert engine.image(NAME) is None
    assert ATTEMPT not in Path("/proc/self/mountinfo").read_text() and not list(found.glob(f"*{ATTEMPT}*"))


def setup_of(removed: str) -> bytes:
    buffer = io.BytesIO(tar_of({DELETED: removed.encode(), "opt/file": b"made\n"}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        for name in ("bin", "root"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
    return buffer.getvalue()


def shown(engine: Engine, container: str) -> bytes:
    source, early = engine.attach(container)
    engine.start(container)
    try:
        return b"".join(data for _, data in frames(source, early))
    finally:
        os.close(source)


def test_a_container_has_it_and_writes_over_it(folder: Path) -> None:
    engine = Engine()
    packed = b"".join(packing.packed([setup_of("bin/yes\nroot\n")]))
    tree = mounted_layer.take(io.BytesIO(packed), folder / ATTEMPT, DELETED)
    mounted_layer.lay(engine, NAME, folder / ATTEMPT)
    made = engine.create({"Image": NAME, "Cmd": ["/bin/sh", "-c", SHOW], "AttachStdout": True, "NetworkDisabled": True})
    try:
        assert mounted_layer.is_seen(engine, made, *tree.newest)
        assert not mounted_layer.is_seen(engine, made, "opt/file", 17)
        assert not mounted_layer.is_seen(engine, made, "opt/none", 5)
        assert shown(engine, made) == b"made\ngone\nmine\n"
    finally:
        engine.remove(made)


def test_what_comes_damaged_is_a_failure(folder: Path) -> None:
    packed = b"".join(packing.packed([setup_of("")]))
    for damaged in (b"", b"x" * 2000, packed[:-10], packed[:20] + b"x" + packed[21:], setup_of("")[:1000]):
        with pytest.raises(Failure, match="can't be unpacked"):
            mounted_layer.take(io.BytesIO(damaged), folder / ATTEMPT, DELETED)
    (folder / ATTEMPT).unlink()


def test_what_breaks_off_on_the_way_says_so(folder: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            if not data:
                raise ConnectionError("gone")
            return data

    packed = b"".join(packing.packed([setup_of("")]))
    with pytest.raises((ConnectionError, Failure)):
        mounted_layer.take(Breaking(packed[:50]), folder / ATTEMPT, DELETED)
    (folder / ATTEMPT).unlink()


def taken(image: str, packed: bytes, *as_whom: str) -> str:
    """What another process says of it."""
    command = [*as_whom, sys.executable, "-m", "tests.unit.runner.take_setup", image, ATTEMPT]
    done = subprocess.run(command, input=packed, capture_output=True, check=True)
    assert Engine().image(NAME) is None and not Engine().containers({ATTEMPT_LABEL: ATTEMPT})
    assert "dstack-setup.erofs" not in Path("/proc/self/mountinfo").read_text()
    return done.stdout.decode().strip()


def test_a_machine_of_its_own_mounts_it(folder: Path, image: str) -> None:
    mounted_layer.release(Engine(), ATTEMPT)
    packed = b"".join(packing.packed([setup_of("bin/yes\n")]))
    assert taken(image, packed) == f"{NAME} True True"
    assert taken(image, packed[:-10]).startswith(f"{image} the setup can't be unpacked")
    assert list(folder.glob(f"*{ATTEMPT}*")) == []


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv here")
def test_one_that_cannot_mount_unpacks_it(folder: Path, image: str) -> None:
    """Root without the right to mount."""
    assert folder.is_dir()
    mounted_layer.release(Engine(), ATTEMPT)
    packed = b"".join(packing.packed([setup_of("bin/yes\n")]))
    assert taken(image, packed, "setpriv", "--bounding-set=-sys_admin") == f"{image} True True"
