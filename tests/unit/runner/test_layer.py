"""What is put into a container's layer before it starts is what the container has."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import layer
from dstack_cloud.runner_bootstrap.payload.engine import Engine, frames
from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.storage import packing
from tests.unit.runner.rig import tar_of

pytestmark = pytest.mark.docker
SHOW = "cat /opt/new/file; stat -c %a /opt/new/file; ls /root /etc; test ! -e /bin/yes && echo gone"


@pytest.fixture
def made(image: str) -> Iterator[str]:
    """A container that isn't started."""
    config = {"Image": image, "Cmd": ["/bin/sh", "-c", SHOW], "AttachStdout": True, "NetworkDisabled": True}
    container = Engine().create(config)
    yield container
    Engine().remove(container)


@pytest.fixture
def place(made: str) -> Path:
    found = layer.layer_of(Engine(), made)
    if found is None:
        pytest.skip("this user isn't root, or the engine's layers are no folders of overlayfs")
    return found


def shown(container: str) -> bytes:
    source, early = Engine().attach(container)
    Engine().start(container)
    try:
        return b"".join(data for _, data in frames(source, early))
    finally:
        os.close(source)


def test_what_was_added_and_removed(made: str, place: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode in (("bin", 0o755), ("root", 0o700), ("opt", 0o755), ("opt/new", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
        file = tarfile.TarInfo("opt/new/file")
        file.size, file.mode = 5, 0o4755
        archive.addfile(file, io.BytesIO(b"made\n"))
    layer.unpack_into(place, io.BytesIO(buffer.getvalue()))
    # a folder that was removed and made again is empty; what is in a removed one goes with it; what was never there does no harm
    layer.remove_from(place, ["bin/yes", "root", "etc-of-old", "etc-of-old/x"])
    told = shown(made).decode()
    assert told.startswith("made\n4755\n/etc:\n") and "/root:\n" in told and told.endswith("gone\n")


@pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no zstd here")
def test_packed_with_zstandard(place: Path) -> None:
    assert layer.takes_packed(Engine())
    packed = b"".join(packing.packed([tar_of({"opt/file": bytes(10_000)})]))
    layer.unpack_into(place, io.BytesIO(packed))
    assert (place / "opt" / "file").stat().st_size == 10_000
    for damaged in (packed[:-10], packed[:20] + b"x" + packed[21:]):
        with pytest.raises(Failure, match="can't be unpacked"):
            layer.unpack_into(place, io.BytesIO(damaged))


def test_half_of_one_is_a_failure(place: Path) -> None:
    data = tar_of({"opt/file": bytes(10_000)})
    with pytest.raises(Failure, match="can't be unpacked"):
        layer.unpack_into(place, io.BytesIO(data[:4000]))


def test_nothing_leads_out_of_it(place: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure):
        layer.unpack_into(place, io.BytesIO(tar_of({"../../outside": b"x"})))
    (tmp_path / "x").touch()
    (place / "link").symlink_to(tmp_path)
    layer.remove_from(place, ["link/x"])
    assert (tmp_path / "x").is_file()
    with pytest.raises(Failure, match="leads out"):
        layer.remove_from(place, ["../x"])
