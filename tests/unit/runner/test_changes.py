"""Changes of the working folder reach a job while it runs, and leave alone what is the job's own."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.link import LinkError
from tests.unit.runner.rig import Rig, pieces, tar_of

WAITS = "echo ready; until [ -e go ]; do sleep 0.05; done"


def gone(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.pax_headers = {"DSTACK.removed": "1"}
            archive.addfile(member)
    return buffer.getvalue()


def running(rig: Rig, *before: str, **fields: object) -> Path:
    """The working folder of a job that runs."""
    rig.start()
    rig.submit(*before, WAITS, inputs=["code"], **fields)
    rig.link.put_input("code", [tar_of({"app.py": b"old", "lib/a.py": b"a", "lib/b.py": b"b"})])
    rig.wait_log(b"ready")
    return rig.folder / "work"


def test_files_are_added_changed_and_removed(rig: Rig) -> None:
    work = running(rig)
    before = (work / "app.py").stat()
    assert rig.link.put_changes(pieces(tar_of({"app.py": b"new", "more/c.py": b"c", "run.sh": b"x"}))) == []
    assert (work / "app.py").read_text() == "new" and (work / "more" / "c.py").read_text() == "c"
    after = (work / "app.py").stat()
    # a program that holds the old one open goes on reading that
    assert after.st_ino != before.st_ino and after.st_mtime > before.st_mtime
    assert (work / "run.sh").stat().st_mode & 0o777 == 0o755
    assert rig.link.put_changes([gone("lib/b.py", "lib/a.py", "lib", "never")]) == []
    assert sorted(os.listdir(work)) == ["app.py", "more", "run.sh"]


def test_what_is_the_jobs_own_stays(rig: Rig) -> None:
    work = running(
        rig, "mkdir out lib/made; echo mine | tee out/x lib/made/y", artifacts=["./out"], deps=[["data/"]], caches=["c"]
    )
    sent = {"out/x": b"yours", "data/d": b"yours", "c": b"yours", "output": b"yours"}
    assert rig.link.put_changes([tar_of(sent)]) == ["out/x", "data/d", "c"]
    assert rig.link.put_changes([gone("out/x", "lib/a.py", "lib/b.py", "lib")]) == ["out/x", "lib"]
    assert (work / "out" / "x").read_text() == "mine\n" and (work / "output").read_text() == "yours"
    assert os.listdir(work / "lib") == ["made"]


def test_nothing_leads_out_through_a_link_of_the_job(rig: Rig) -> None:
    outside = rig.base / "outside"
    outside.mkdir()
    (outside / "x").write_text("stays")
    running(rig, f"ln -s {outside} link")
    assert rig.link.put_changes([gone("link/x")]) == ["link/x"]
    with pytest.raises(LinkError, match="leads through a link"):
        rig.link.put_changes([tar_of({"link/x": b"new"})])
    assert (outside / "x").read_text() == "stays"


def test_a_folder_where_a_file_was_and_the_other_way_round(rig: Rig) -> None:
    work = running(rig)
    rig.link.put_changes([gone("app.py")])
    rig.link.put_changes([tar_of({"app.py/inner": b"x"})])
    assert (work / "app.py" / "inner").exists()
    assert rig.link.put_changes([tar_of({"app.py": b"x"})]) == ["app.py"]


def test_only_while_the_job_runs(rig: Rig) -> None:
    rig.start()
    with pytest.raises(LinkError) as refused:
        rig.link.put_changes([tar_of({"x": b"x"})])
    assert refused.value.status == 409
    rig.run("true")
    with pytest.raises(LinkError) as refused:
        rig.link.put_changes([tar_of({"x": b"x"})])
    assert refused.value.status == 409


@pytest.mark.parametrize("data", [b"x" * 2000, tar_of({"../x": b"x"}), tar_of({"a": b"x" * 5000})[:2000]])
def test_what_is_no_tar_of_the_folder_is_refused_and_the_job_goes_on(rig: Rig, data: bytes) -> None:
    work = running(rig)
    with pytest.raises(LinkError) as refused:
        rig.link.put_changes([data])
    assert refused.value.status == 400
    assert not (rig.folder / "x").exists() and rig.link.state().phase == "running"
    assert (work / "app.py").read_text() == "old"
