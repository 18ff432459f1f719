"""What comes in: whole, below its folder, or not at all."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import pytest

from dstack_cloud.runner_bootstrap.link import LinkError
from tests.unit.runner.rig import Rig, pieces, tar_of


class BrokeOff(Exception):
    pass


def tar_with(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, target, mode
    made.size = 1 if kind == tarfile.REGTYPE else 0
    return made


def test_modes_links_and_empty_folders_are_kept(runner: Rig) -> None:
    runner.submit("ls -d empty closed", "cat link", "stat -c %a run", inputs=["code"])
    closed = member("closed", tarfile.DIRTYPE, mode=0o555)
    rest = [member("closed/in"), member("empty", tarfile.DIRTYPE), member("run", mode=0o751)]
    data = tar_with(closed, *rest, member("link", tarfile.SYMTYPE, "closed/in"), member("hard", tarfile.LNKTYPE, "run"))
    runner.link.put_input("code", pieces(data, 333))
    assert runner.wait("uploading").exit_code == 0
    assert runner.log() == b"closed\nempty\nx751\n"
    assert (runner.folder / "work" / "closed").stat().st_mode & 0o777 == 0o555


@pytest.mark.parametrize(
    "members",
    [
        [member("../x")],
        [member("a/../../x")],
        [member("/etc/x")],
        [member("a", tarfile.SYMTYPE, "/tmp"), member("a/x")],
        [member("a", tarfile.SYMTYPE, ".."), member("a/x")],
        [member("hard", tarfile.LNKTYPE, "../state.json")],
        [member("a", tarfile.SYMTYPE, "../state.json"), member("hard", tarfile.LNKTYPE, "a")],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("a", tarfile.DIRTYPE), member("a")],
        [member(".")],
    ],
)
def test_archives_that_lead_out_are_refused(runner: Rig, members: list[tarfile.TarInfo]) -> None:
    runner.submit("true", inputs=["code"])
    with pytest.raises(LinkError) as caught:
        runner.link.put_input("code", [tar_with(*members)])
    assert (caught.value.status, caught.value.unreachable) == (400, False)
    assert runner.wait("uploading").reason == "input"
    assert sorted(path.name for path in runner.base.iterdir()) == ["job", "runner.pyz", "s"]


def test_a_refusal_reaches_a_client_that_is_still_sending(runner: Rig) -> None:
    runner.submit("true", inputs=["code"])
    with pytest.raises(LinkError, match="leads out"):
        runner.link.put_input("code", pieces(tar_of({"../x": b"", "big": bytes(30_000_000)}), 100_000))


@pytest.mark.parametrize("cut", [100, 700, 10_000, -1024])
def test_a_stream_that_breaks_off_counts_for_nothing(runner: Rig, cut: int) -> None:
    data = tar_of({"one": b"1" * 3000, "two": b"2" * 20_000})

    def broken() -> Iterator[bytes]:
        yield from pieces(data[:cut], 512)
        raise BrokeOff

    runner.submit("cat one two", inputs=["code"])
    with pytest.raises(BrokeOff):
        runner.link.put_input("code", broken())
    assert runner.link.state().phase == "downloading"
    runner.link.put_input("code", [data])
    assert runner.wait("uploading").exit_code == 0
    assert runner.log() == b"1" * 3000 + b"2" * 20_000


@pytest.mark.parametrize("data", [b"", b"no tar at all", tar_of({"a": b"x" * 600})[:1024], tar_of({"a": b""})[:512]])
def test_what_is_no_whole_tar_ends_the_attempt(runner: Rig, data: bytes) -> None:
    runner.submit("true", inputs=["code"])
    with pytest.raises(LinkError) as caught:
        runner.link.put_input("code", [data])
    assert caught.value.status == 400
    assert runner.wait("uploading").reason == "input"


def test_twice_is_no_error(runner: Rig) -> None:
    runner.submit("cat a", inputs=["code", "cache-0"], caches=["c"])
    runner.link.put_input("code", [tar_of({"a": b"first"})])
    runner.link.put_input("code", [tar_of({"a": b"second"})])
    runner.link.put_input("cache-0", [tar_of({})])
    runner.wait("uploading")
    runner.link.put_input("code", [tar_of({"a": b"third"})])
    assert runner.log() == b"first"


def test_unexpected_inputs(runner: Rig) -> None:
    with pytest.raises(LinkError, match="no job yet"):
        runner.link.put_input("code", [b""])
    runner.submit("true", inputs=["code"])
    with pytest.raises(LinkError, match="no input 'other'"):
        runner.link.put_input("other", [b""])
    with pytest.raises(LinkError, match="neither"):
        Rig.submit(runner, "true", attempt="a-2", inputs=["cache-3"])
