from __future__ import annotations

import pytest

from dstack_cloud.domain.secrets import check_name, check_value, fill, name_in, places, unknown
from dstack_cloud.errors import ConfigurationError, UsageError


@pytest.mark.parametrize("name", ["", "1A", "A B", "A-B", "é", "PATH", "DSTACK_X", "LD_PRELOAD", "RUN_NAME"])
def test_what_can_be_no_name(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


@pytest.mark.parametrize("value", ["", "a\0b", "x" * 200_000])
def test_what_can_be_no_value_is_told_without_it(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_value(value)
    assert "xx" not in caught.value.summary


def test_only_a_place_is_filled() -> None:
    values = {"A": "\0B\0", "B": "b"}
    assert fill("x" + places(["A"])["secrets.A"] + "secrets.B", values) == "x\0B\0secrets.B"
    with pytest.raises(ConfigurationError, match="C was deleted"):
        fill(places(["C"])["secrets.C"], values)


def test_the_nearest_name_whatever_its_case() -> None:
    assert unknown("token", ["TOKEN", "X"]).hint == "did you mean TOKEN? there are: TOKEN, X"
    assert unknown("T", []).hint == "there are none; `dstack secrets add T` makes it"


def test_which_references_are_secrets() -> None:
    assert [name_in(each) for each in ("secrets.A_1", "secrets.", "secrets.1", "run.name", None)] == [
        "A_1",
        *[None] * 4,
    ]
