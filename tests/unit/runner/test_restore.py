"""Artifacts of an earlier attempt come back over what the code brought."""

from __future__ import annotations

import io
import tarfile
import threading
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.link import LinkError
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.restore import restore
from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive
from tests.unit.runner.rig import Rig, tar_of
from tests.unit.runner.test_inputs import member, tar_with

BOTH = ["code", "artifacts"]


def restored(tmp_path: Path, artifacts: list[str], data: bytes) -> Folder:
    folder = Folder(tmp_path / "job")
    folder.make()
    restore(io.BytesIO(data), folder, artifacts)
    return folder


def test_they_win_over_the_code_whatever_comes_first(runner: Rig) -> None:
    runner.submit("cat out/a out/b ~/x; stat -c %a out/a", inputs=BOTH, artifacts=["out", "~/x"])
    saved = tar_of({"out/a": b"new ", "~/x": b"home "})
    early = threading.Thread(target=runner.link.put_input, args=("artifacts", [saved]))
    early.start()
    runner.link.put_input("code", [tar_of({"out/a": b"old", "out/b": b"code "})])
    early.join()
    assert runner.wait("uploading").exit_code == 0
    assert runner.log() == b"new code home 644\n"


def test_a_cache_inside_comes_before_them(runner: Rig) -> None:
    fields = {"inputs": ["cache-0", "artifacts"], "artifacts": ["out"], "caches": ["out/cache"]}
    runner.submit("cat out/cache/a", **fields)
    early = threading.Thread(target=runner.link.put_input, args=("artifacts", [tar_of({"out/cache/a": b"saved"})]))
    early.start()
    runner.link.put_input("cache-0", [tar_of({"a": b"cached"})])
    early.join()
    assert runner.wait("uploading").exit_code == 0
    assert runner.log() == b"saved"


def test_who_waits_for_the_code_is_let_go_at_a_stop(runner: Rig) -> None:
    runner.submit("true", inputs=BOTH, artifacts=["out"])
    early = threading.Thread(target=runner.link.put_input, args=("artifacts", [tar_of({"out/a": b""})]))
    early.start()
    runner.link.stop()
    early.join()
    assert runner.wait("uploading").reason == "stopped"
    assert not (runner.folder / "work" / "out").exists()


def test_what_is_no_tar_ends_the_attempt(runner: Rig) -> None:
    runner.submit("true", inputs=["artifacts"])
    with pytest.raises(LinkError, match="artifacts couldn't be unpacked"):
        runner.link.put_input("artifacts", [b"nothing"])
    assert runner.wait("uploading").reason == "input"


def test_files_folders_and_links_replace_each_other(tmp_path: Path) -> None:
    work = tmp_path / "job" / "work"
    (work / "out" / "was-folder" / "deep").mkdir(parents=True)
    (work / "out" / "was-file").write_text("old")
    (work / "out" / "was-link").symlink_to("was-folder")
    now_folders = [member("out/was-file", tarfile.DIRTYPE), member("out/was-link", tarfile.DIRTYPE)]
    rest = [member("out/was-folder"), member("out/was-file/in"), member("out/was-link/in")]
    restored(tmp_path, ["out"], tar_with(*now_folders, *rest, member("out/new", tarfile.SYMTYPE, "was-folder")))
    assert (work / "out" / "was-folder").read_text() == "x"
    assert (work / "out" / "was-file" / "in").read_text() == "x"
    assert not (work / "out" / "was-link").is_symlink()
    assert (work / "out" / "new").readlink() == Path("was-folder")


def test_an_artifacts_own_path_may_be_a_link_of_the_code(tmp_path: Path) -> None:
    work = tmp_path / "job" / "work"
    (work / "results").mkdir(parents=True)
    (work / "out").symlink_to("results")
    restored(
        tmp_path, ["out", "out/deep"], tar_with(member("out", tarfile.DIRTYPE), member("out/a"), member("out/deep/b"))
    )
    assert (work / "out").is_symlink()
    assert (work / "results" / "deep" / "b").read_text() == "x"


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    work, beside = tmp_path / "job" / "work", tmp_path / "beside"
    work.mkdir(parents=True)
    beside.mkdir()
    (work / "out").symlink_to(beside)
    restored(tmp_path, ["out"], tar_with(member("out/a")))
    assert not list(beside.iterdir())
    assert (work / "out" / "a").read_text() == "x"


@pytest.mark.parametrize("name", ["../x", "~/../x", "/x", "out/../../x", ".", "~"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadArchive):
        restored(tmp_path, ["out"], tar_with(member(name)))


def test_what_other_jobs_saved_lies_over_the_code_the_later_over_the_earlier(runner: Rig) -> None:
    inputs = ["code", "deps-0", "deps-1", "artifacts"]
    runner.submit("cat m/a m/b ~/h out", inputs=inputs, artifacts=["out"], deps=[["m"], ["m", "~/h", "out"]])
    sent = {
        "artifacts": {"out": b"own"},
        "deps-1": {"m/b": b"second ", "~/h": b"home ", "out": b"dep"},
        "deps-0": {"m/a": b"first ", "m/b": b"old "},
    }
    early = [threading.Thread(target=runner.link.put_input, args=(n, [tar_of(files)])) for n, files in sent.items()]
    for thread in early:
        thread.start()
    runner.link.put_input("code", [tar_of({"m/a": b"code"})])
    for thread in early:
        thread.join()
    assert runner.wait("uploading").exit_code == 0
    assert runner.log() == b"first second home own"
