from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud.domain.durations import LONGEST, parse_duration
from dstack_cloud.domain.sizes import LARGEST, exact_size, parse_size
from dstack_cloud.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16 * 10**9),
        ("512MB", 512 * 10**6),
        ("512M", 512 * 10**6),
        ("16GiB", 16 * 2**30),
        ("16Gi", 16 * 2**30),
        ("16 gb", 16 * 10**9),
        ("1.5TB", 15 * 10**11),
        ("0.3B", 1),
        ("1B", 1),
    ],
)
def test_sizes_mean_powers_of_ten_or_of_two(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["16XB", "16", "", "GB", "-1GB", "0GB", "1e3GB", "9999999999PB", "1.GB", "1GBB", "nan"]
)
def test_what_is_no_size_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_size(text)
    assert caught.value.hint


def test_a_wrong_unit_is_named() -> None:
    with pytest.raises(ConfigurationError, match="`XB` in `16XB`"):
        parse_size("16XB")


@given(st.integers(1, LARGEST))
def test_an_exact_size_reads_back(size: int) -> None:
    assert parse_size(exact_size(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("45s", 45),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("3d", 259200),
        ("1w 1d", 691200),
        ("2H", 7200),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "2x", "h", "-1h", "0", "0s", "30m2h", "1.5h", f"{LONGEST + 1}", "99999999w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_duration(text)
