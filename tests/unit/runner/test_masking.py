"""What of a job's output never reaches its log."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud.runner_bootstrap.payload.masking import MASK, QUIET_SECONDS, Masking
from tests.unit.runner.rig import Rig, until

TOKEN = "s3cret-value-42"


def masked(data: bytes, *values: str, size: int = 0) -> bytes:
    masking = Masking(values)
    step = size or len(data) or 1
    shown = [masking.take(data[at : at + step]) for at in range(0, len(data), step)]
    return b"".join([*shown, masking.flush()])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a {TOKEN} b{TOKEN}{TOKEN}", "a *** b******"),
        (f"s3 s3cret {TOKEN[:-1]}x", f"s3 s3cret {TOKEN[:-1]}x"),
        (f"{TOKEN[:4]}{TOKEN}", f"{TOKEN[:4]}***"),
        ("", ""),
    ],
)
def test_a_value_is_masked_however_it_is_cut(text: str, expected: str, size: int) -> None:
    assert masked(text.encode(), TOKEN, size=size) == expected.encode()


@pytest.mark.parametrize("size", [0, 1, 5])
def test_the_longer_of_two_values_counts(size: int) -> None:
    assert masked(b"abcdefgh abcd", "abcd", "abcdefgh", size=size) == b"*** ***"


@pytest.mark.parametrize("size", [0, 1, 4])
def test_a_value_that_ends_as_it_begins(size: int) -> None:
    assert masked(b"xxabcabcabc", "abcabc", size=size) == b"xx***abc"


def test_each_line_of_a_long_value_and_no_short_one() -> None:
    key = "-----BEGIN-----\nMIIEvQ\n}\n-----END-----\n"
    assert masked(b"}\r\nMIIEvQ\r\n", key) == b"}\r\n***\r\n"
    assert masked(b"abc", "abc") == b"abc"
    assert masked("größe".encode(), "größe") == MASK


def test_what_may_be_a_beginning_is_shown_after_a_quiet_moment() -> None:
    masking = Masking([TOKEN])
    assert masking.take(b"yes") == b"ye"
    assert masking.patience == QUIET_SECONDS
    assert masking.flush() == b"s"
    assert masking.patience is None
    assert masking.take(TOKEN[1:].encode() + b"!") == MASK + b"!"


@given(st.lists(st.text("ab\n", max_size=6)), st.text("ab\n", max_size=60), st.integers(1, 9))
def test_cuts_change_nothing_and_no_value_stays(values: list[str], text: str, size: int) -> None:
    data = text.encode()
    whole = masked(data, *values)
    assert masked(data, *values, size=size) == whole
    for value in values:
        assert len(value.strip()) < 4 or value.strip().encode() not in whole


def processes() -> bytes:
    found = b""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += entry.read_bytes()
        except OSError:
            continue
    return found


def test_a_job_that_prints_its_secret(rig: Rig) -> None:
    rig.start()
    python = f"import sys, time; print('{TOKEN[:8]}', end='', flush=True); time.sleep(0.3); print('{TOKEN[8:]}')"
    rig.submit(
        'echo "it is $TOKEN"', "cat say.py | python3", "until [ -e go ]; do sleep 0.02; done",
        env={"TOKEN": TOKEN}, secrets={"TOKEN": TOKEN}, inputs=["code"],
    )  # fmt: skip
    from tests.unit.runner.rig import pieces, tar_of

    rig.link.put_input("code", pieces(tar_of({"say.py": python.encode()})))
    rig.wait_log(b"it is ***\n***\n")
    assert TOKEN.encode() not in processes()
    rig.crash()
    rig.start()
    (rig.folder / "work" / "go").touch()
    rig.wait("uploading")
    assert rig.log() == b"it is ***\n***\n"
    found = [path for path in rig.folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert not found


def test_a_prompt_is_shown_at_once(rig: Rig) -> None:
    rig.start()
    rig.submit("printf 'Password: s'", "until [ -e go ]; do sleep 0.02; done", secrets={"TOKEN": TOKEN})
    rig.wait_log(b"Password: s")
    (rig.folder / "work" / "go").touch()
    until(lambda: rig.link.state().phase == "uploading", "its end")
