"""A job with packages of its own, while a virtual environment is active."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import interpreter
from tests.unit.runner.rig import Rig

VERSION = interpreter.OWN_VERSION
SHOW = "python -c 'import mine, edited; print(mine.WORD, edited.WORD)'"


@pytest.fixture
def active(rig: Rig) -> Path:
    """Its packages: a module, and one that is installed in place."""
    place = rig.base / "active"
    python = interpreter.find_interpreter(None)
    assert python is not None
    programs = interpreter.make_environment(python, VERSION, place)
    packages = place / "lib" / f"python{VERSION}" / "site-packages"
    (packages / "mine.py").write_text("WORD = 'from-the-active-one'\n")
    (rig.base / "source").mkdir()
    (rig.base / "source" / "edited.py").write_text("WORD = 'in-place'\n")
    (packages / "edited.pth").write_text(f"{rig.base / 'source'}\n")
    rig.env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    return packages


@pytest.mark.parametrize("asked", [{"installs": True}, {"python": VERSION}])
def test_its_packages_are_seen(rig: Rig, active: Path, asked: dict[str, object]) -> None:
    rig.start()
    rig.run(SHOW, "python -c 'import sys; print(sys.prefix)'", **asked)
    assert b"from-the-active-one in-place" in rig.log()
    assert str(rig.folder / "python").encode() in rig.log()


def test_what_the_job_installs_goes_before_them_and_stays_out_of_them(rig: Rig, active: Path) -> None:
    rig.start()
    rig.run(f"echo \"WORD = 'own'\" > $VIRTUAL_ENV/lib/python{VERSION}/site-packages/mine.py", SHOW, installs=True)
    assert b"own in-place" in rig.log()
    assert "active" in (active / "mine.py").read_text()


def test_one_of_another_version_is_left_alone(tmp_path: Path) -> None:
    programs = interpreter.make_environment(Path(sys.executable), "3.1", tmp_path / "old")
    assert interpreter.active_packages(VERSION, str(programs)) is None
    assert interpreter.active_packages("3.1", str(programs)) is not None
    assert interpreter.active_packages(VERSION, str(tmp_path)) is None


def test_a_setup_is_built_anew_where_they_have_changed(rig: Rig, active: Path) -> None:
    # pip has compiled what it installed
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    given = {"setup": ["echo building"], "setup_salt": "x", "workflow": "it", "installs": True, "env": env}
    kept = ["--setups", str(rig.base / "kept")]
    texts = []
    for number in range(3):
        rig.folder = rig.base / f"job-{number}"
        rig.start(*kept)
        rig.run(SHOW, attempt=f"a-{number}", **given)
        texts.append(rig.log())
        rig.end()
        if number == 1:
            (active / "another.py").touch()
    assert [b"building" in text for text in texts] == [True, False, True]
    assert all(b"from-the-active-one" in text for text in texts)
