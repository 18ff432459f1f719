from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud import errors
from dstack_cloud.storage.layout import AttemptPlace
from dstack_cloud.storage.logs import LogReader, LogWriter
from dstack_cloud.storage.store import open_store
from tests.unit.storage.faults import DyingStore, Killed

PLACE = AttemptPlace("shady-1", "train", 1)
# invalid UTF-8, a long line, no newline at the end
LOG = b"first\n\xff\xfe\x00binary\r\n" + b"x" * 5000 + b"\nlast without end"

pieces = st.lists(st.tuples(st.integers(0, len(LOG)), st.integers(0, 3000), st.integers(0, 9)), max_size=12)


def whole(store) -> bytes:
    return b"".join(LogReader(store, PLACE).read())


def write(store, data: bytes, step: int, start_ms: int = 1_000) -> LogWriter:
    """Chunks of `step` bytes, one a second."""
    writer = LogWriter(store, PLACE)
    for n, offset in enumerate(range(0, len(data), step)):
        writer.append(offset, data[offset : offset + step], start_ms + 1000 * n)
    return writer


def test_an_empty_log(store):
    reader = LogReader(store, PLACE)
    assert LogWriter(store, PLACE).resume() == reader.size() == reader.offset_since(0) == 0
    assert list(reader.read()) == list(reader.read(7)) == []
    LogWriter(store, PLACE).join(b"")
    assert list(store.list("")) == []


@pytest.mark.parametrize("start", [0, 1, 99, 100, 101, len(LOG) - 1, len(LOG), len(LOG) + 1])
def test_reads_from_any_byte(store, start):
    write(store, LOG, 100)
    assert LogReader(store, PLACE).size() == len(LOG)
    assert b"".join(LogReader(store, PLACE).read(start)) == LOG[start:]


@given(pieces, st.integers(0, len(LOG)), st.booleans())
def test_any_order_of_writes_gives_the_exact_bytes(extra, start, joined):
    """Writers die and resume anywhere, and an old one may write on beside the new one."""
    store = open_store("memory://")
    writer = LogWriter(store, PLACE)
    for offset, size, milliseconds in extra:
        begin = min(offset, writer.resume())
        writer.append(begin, LOG[begin : begin + size], milliseconds)
    writer.append(writer.resume(), LOG[writer.resume() :], 10)
    if joined:
        writer.join(b"")
    assert b"".join(LogReader(store, PLACE).read(start)) == LOG[start:]
    assert LogReader(store, PLACE).size() == len(LOG)


@given(pieces, st.integers(0, 14))
def test_a_crash_while_joining_loses_nothing(extra, lives):
    store = open_store("memory://")
    write(store, LOG, 700)
    for offset, size, milliseconds in extra:
        LogWriter(store, PLACE).append(offset, LOG[offset : offset + size], milliseconds)
    try:
        LogWriter(DyingStore(store, lives), PLACE).join(b"0 1\n")
    except Killed:
        assert whole(store) == LOG
    assert LogWriter(store, PLACE).resume() == len(LOG)
    LogWriter(store, PLACE).join(b"0 1\n")
    assert whole(store) == LOG
    assert len(list(store.list(PLACE.logs))) == 1


def test_joining_makes_chunks_of_some_megabytes(store):
    data = bytes(range(256)) * 2**16
    write(store, data, 1_500_000).join(b"")
    sizes = [info.size for info in store.list(PLACE.logs)]
    assert whole(store) == data
    assert max(sizes) <= 8 * 2**20
    assert len(sizes) == 3


@pytest.mark.parametrize("read_first", [1, 3])
def test_a_reader_goes_on_while_chunks_are_joined(store, read_first):
    writer = write(store, LOG, 1000)
    reading = LogReader(store, PLACE).read()
    data = b"".join(next(reading) for _ in range(read_first))
    writer.join(b"0 1000\n")
    assert data + b"".join(reading) == LOG


def test_a_gap_is_an_error_and_resume_stays_before_it(store):
    writer = LogWriter(store, PLACE)
    writer.append(0, b"0123", 1)
    writer.append(6, b"6789", 1)
    assert writer.resume() == LogReader(store, PLACE).size() == 4
    reading = LogReader(store, PLACE).read()
    assert next(reading) == b"0123"
    with pytest.raises(errors.StoreError, match="bytes 4 to 6"):
        next(reading)


LINES = b"".join(b"line %d\n" % n for n in range(10))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("second", [0, 3, 9])
def test_since_begins_with_the_line_of_that_moment(store, joined, second):
    # 10 lines of 7 bytes, one a second from second 100 on, in chunks that cut lines
    writer = write(store, LINES, 5, start_ms=100_000)
    times = b"".join(b"%d %d\n" % (7 * n, 100_000 + 1000 * n) for n in range(10))
    if joined:
        writer.join(times)
        assert LogReader(store, PLACE).offset_since(100 + second) == 7 * second
    else:
        assert LogReader(store, PLACE).offset_since(100 + second) == 5 * second // 7 * 7


def test_since_before_the_first_and_after_the_last(store):
    writer = write(store, LINES, 7, start_ms=100_000)
    reader = LogReader(store, PLACE)
    assert reader.offset_since(0) == 0
    assert reader.offset_since(2e10) == len(LINES)
    writer.join(b"0 100000\n7 101000\nnonsense\n14 102000\n")
    assert reader.offset_since(0) == 0
    assert reader.offset_since(2e10) == len(LINES)


def test_since_after_a_long_silence_skips_what_is_old(store):
    write(store, LINES, 70).join(b"0 1000\n63 7200000\n")
    assert LogReader(store, PLACE).offset_since(3600) == 63


def test_since_inside_a_very_long_line(store):
    data = b"short\n" + b"y" * 1_000_000 + b"\nend\n"
    write(store, data, 100_000, start_ms=100_000)
    assert LogReader(store, PLACE).offset_since(107.5) == 6
