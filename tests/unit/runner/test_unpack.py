"""Whatever the bytes are: unpacked below the folder, or refused with a reason."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import parse_job
from dstack_cloud.runner_bootstrap.payload.restore import restore
from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive, Target, unpack
from tests.unit.runner.test_inputs import member, tar_with

GOOD = tar_with(
    member("d", tarfile.DIRTYPE, mode=0o755),
    member("d/" + "n" * 120),
    member("link", tarfile.SYMTYPE, "d"),
    member("hard", tarfile.LNKTYPE, "d/" + "n" * 120),
    member("z"),
)
JOB = parse_job({"attempt": "a", "mode": "process", "artifacts": ["d", "~/x", "."]})


def with_right_checksums(data: bytearray) -> bytes:
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


changes = st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(changes=changes, length=st.one_of(st.just(len(GOOD)), st.integers(0, len(GOOD))))
def test_changed_archives(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    archive = with_right_checksums(data[:length])
    with tempfile.TemporaryDirectory() as folder:
        try:
            unpack(io.BytesIO(archive), Target(Path(folder, "in")))
        except (BadArchive, OSError):
            pass
        assert [path.name for path in Path(folder).iterdir()] == ["in"]
        job = Folder(Path(folder, "job"))
        job.make()
        try:
            restore(io.BytesIO(archive), job, JOB.artifacts)
        except (BadArchive, OSError):
            pass
        assert sorted(path.name for path in Path(folder).iterdir()) == ["in", "job"]
        assert sorted(path.name for path in job.root.iterdir()) == ["home", "work"]
