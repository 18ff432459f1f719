from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud.storage.tarstream import BrokenTar, TarStream, whole_tar
from tests.unit.storage.tars import pack, pieces

LONG = "d/" * 60 + "n" * 200
TAR = pack(("a", b"1" * 700), ("d", None), (LONG, b"22"), ("l", "-> a"), ("é\udcff", b""), ("h", "= a"))


def read(data: bytes, size: int = 1000) -> list[tuple[str, str, int, bytes]]:
    stream = TarStream(pieces(data, size))
    return [(m.name, m.kind, m.size, b"".join(stream.content())) for m in stream]


@pytest.mark.parametrize("size", [1, 511, 512, 10**6])
@pytest.mark.parametrize("pax", [True, False])
def test_reads_what_the_standard_library_writes(size, pax):
    members = [(LONG, b"22"), ("x" * 99, b"3" * 513), ("link", "-> " + LONG), ("é\udcff", b""), ("dir", None)]
    found = read(pack(*members, pax=pax), size)
    assert [name for name, *_ in found] == [name for name, _ in members]
    assert [kind for _, kind, *_ in found] == ["file", "file", "link", "file", "dir"]
    assert [content for *_, content in found] == [b"22", b"3" * 513, b"", b"", b""]


def test_content_that_nobody_reads_is_skipped():
    assert [member.name for member in TarStream(pieces(TAR, 300))] == ["a", "d", LONG, "l", "é\udcff", "h"]


@given(st.integers(0, len(TAR) - 1))
def test_a_stream_that_breaks_off_is_never_taken_for_whole(length):
    end = len(TAR.rstrip(b"\0"))
    marked = -(-end // 512) * 512 + 1024
    if length >= marked:
        assert len(read(TAR[:length])) == 6
        return
    with pytest.raises(BrokenTar):
        read(TAR[:length])
    with pytest.raises(BrokenTar):
        list(whole_tar(pieces(TAR[:length])))


@pytest.mark.parametrize("size", [1, 512, 700, 10**6])
def test_passes_the_chunks_on_unchanged(size):
    many = pack(*[(f"empty/{n}", None) for n in range(50)], ("a", bytes(5000)))
    assert b"".join(whole_tar(pieces(many, size))) == many


def test_sizes_beyond_the_header_field():
    info = tarfile.TarInfo("big")
    info.size = 10 * 2**30
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        assert next(iter(TarStream([info.tobuf(form)]))).size == 10 * 2**30


@pytest.mark.parametrize(
    "data", [b"", b"not a tar" * 200, TAR[:512] + b"garbage!" * 200], ids=["nothing", "text", "mixed"]
)
def test_refuses_what_is_no_tar(data):
    with pytest.raises(BrokenTar):
        read(data)


def test_refuses_devices():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("null")
        info.type = tarfile.CHRTYPE
        tar.addfile(info)
    with pytest.raises(BrokenTar, match="null"):
        read(out.getvalue())
