from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud.domain.interpolation import interpolate, references
from dstack_cloud.errors import ConfigurationError

VALUES = {"run.args": "--x 1", "run.name": "shady-1"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("train ${{ run.args }}", "train --x 1"),
        ("${{run.name}}/${{  run.name  }}", "shady-1/shady-1"),
        ("$${{ run.name }}", "${{ run.name }}"),
        ("$$${{ run.name }}", "$${{ run.name }}"),
        ("$x ${x} $$ $(date) {{ x }} $", "$x ${x} $$ $(date) {{ x }} $"),
    ],
)
def test_only_the_strict_form_is_filled_in(text: str, result: str) -> None:
    assert interpolate(text, VALUES) == result


@pytest.mark.parametrize("text", ["${{ run.args", "${{ run.args }", "a ${{\n}}", "${{ ${{ run.name }} }}"])
def test_unclosed_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="never closed"):
        interpolate(text, VALUES)


def test_an_unknown_name_lists_what_exists() -> None:
    with pytest.raises(ConfigurationError) as caught:
        interpolate("${{ run.nam }}", VALUES)
    assert caught.value.hint == "did you mean `${{ run.name }}`? what exists: `${{ run.args }}`, `${{ run.name }}`"


def test_a_secret_is_never_filled_in_as_it_is() -> None:
    with pytest.raises(ConfigurationError, match=r"secrets\.TOKEN"):
        interpolate("${{ secrets.TOKEN }}", VALUES)


@given(st.text())
def test_what_is_put_in_is_not_read_again(value: str) -> None:
    assert interpolate("a${{ run.name }}b", {"run.name": value}) == f"a{value}b"


@given(st.text(alphabet="${} runame.x\n"))
def test_any_text_is_filled_in_or_refused(text: str) -> None:
    try:
        filled = interpolate(text, VALUES)
    except ConfigurationError:
        assert any(name not in VALUES for name in references(text))
    else:
        assert ("${{" in text) or filled == text
