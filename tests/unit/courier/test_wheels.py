from __future__ import annotations

import hashlib
import io
import platform
import re
import zipfile
from pathlib import Path

import pytest

from dstack_cloud.courier.wheels import LOCK, PYTHONS, Wheels, needed
from dstack_cloud.errors import NotFound
from tests.architecture.sources import ROOT

HERE = ".".join(platform.python_version_tuple()[:2])
WHEEL = "dstack_test_wheel-1.0-cp310-abi3-manylinux_2_17_x86_64.whl"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for one: it has one wheel."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("dstack_test_wheel.py", "x = 1\n")
        wheel.writestr(
            "dstack_test_wheel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: dstack-test-wheel\nVersion: 1.0\n"
        )
        wheel.writestr(
            "dstack_test_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp310-abi3-manylinux_2_17_x86_64\n"
        )
        wheel.writestr("dstack_test_wheel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def lock_of(folder: Path, digest: str) -> Path:
    path = folder / "lock.txt"
    path.write_text(f"dstack-test-wheel==1.0 ; python_full_version >= '3.10' \\\n    --hash=sha256:{digest}\n")
    return path


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_pins_are_those_of_the_constraints() -> None:
    pinned = re.split(r"\n(?=\w)", (ROOT / "constraints.txt").read_text())
    ours = [block for block in re.split(r"\n(?=\w)", LOCK.read_text()) if "==" in block.partition("\n")[0]]
    assert {block.strip() for block in ours} <= {block.strip() for block in pinned}


@pytest.mark.parametrize("python", PYTHONS)
def test_each_python_needs_one_version_of_each(python: str) -> None:
    assert sorted(each.requirement.partition("==")[0] for each in needed(python)) == ["obstore", "zstandard"]


def test_what_the_server_runs_with_is_enough_for_machines_of_its_kind(tmp_path: Path) -> None:
    library = Wheels(tmp_path).library(HERE, platform.machine())
    names = zipfile.ZipFile(io.BytesIO(library)).namelist()
    assert {"obstore/__init__.py", "zstandard/__init__.py"} <= set(names)
    assert not [name for name in names if name.endswith(".pyi") or "_cffi" in name]
    assert not list(tmp_path.iterdir())


def test_a_wheel_is_fetched_once_and_checked_whenever_it_is_used(registry: Path, tmp_path: Path) -> None:
    lock = lock_of(tmp_path, digest_of(registry / WHEEL))
    wheels = Wheels(tmp_path / "cache", lock)
    (fetched,) = wheels.fetch("3.12", "x86_64")
    (registry / WHEEL).rename(tmp_path / "away")
    assert wheels.fetch("3.12", "x86_64") == [fetched]
    fetched.write_bytes(b"another")
    with pytest.raises(NotFound, match="pip can't fetch them"):
        wheels.fetch("3.12", "x86_64")


def test_another_wheel_than_the_pinned_one_is_refused(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="pip can't fetch them"):
        Wheels(tmp_path / "cache", lock_of(tmp_path, "0" * 64)).fetch("3.12", "x86_64")
    assert not list(tmp_path.glob("cache/*/*.whl"))


def test_a_machine_of_another_kind_is_told(registry: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Wheels(tmp_path / "cache", lock_of(tmp_path, digest_of(registry / WHEEL))).library("3.12", "riscv64")
