"""What bash makes of a value, wherever in its text the name stands."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from dstack_cloud.domain.interpolation import interpolate
from dstack_cloud.domain.shell import is_unfinished, sets_itself, writer

# (a text with V for the name, what surrounds the value in its output)
PLACES = [
    ("printf %s V", "", ""),
    ("printf %s a/V/b", "a/", "/b"),
    ("x=V; printf %s \"$x\"", "", ""),
    ('printf %s "V"', "", ""),
    ('printf %s "a V b"', "a ", " b"),
    ("printf %s 'V'", "", ""),
    ("printf %s $'\\'V'", "'", ""),
    ("printf %s \"$(printf %s V)x\"", "", "x"),
    ("printf %s \"$(printf %s \"V\")x\"", "", "x"),
    ("printf %s \"$(printf %s 'V')x\"", "", "x"),
    ("printf %sx \"`printf %s V`\"", "", "x"),
    ("printf %sx \"`printf %s 'V'`\"", "", "x"),
    ('printf %s "${nothing:-V}"', "", ""),
    ("printf %s ${nothing:-V}", "", ""),
    ("cat <<EOF\nV\nEOF", "", "\n"),
    ("cat <<-\"EOF\"; printf %s \"V\"\n\t'\n\tEOF", "'\n", ""),
    ("cat <<A - <<B; printf %s V\n'\nA\n'\nB", "'\n", ""),
    ("# don't V\nprintf %s V", "", ""),
    ("echo a#'; printf %s V '#", "a#; printf %s ", " #\n"),
    ("(( 1 << 2 )); printf %s V", "", ""),
    ("bash -c 'printf %s \"$1\"' x V", "", ""),
    ("if [[ x == x ]]; then (printf %s V); fi", "", ""),
]  # fmt: skip
# what can be told apart in an output: no NUL; a program's own output may lose line breaks at its end
values = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12) | st.text(
    alphabet="a $`\"'\\!#(){}\n*~&;|<>", max_size=12
)
quiet = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def output(text: str) -> str:
    done = subprocess.run(["bash", "-c", text], capture_output=True, check=False)
    assert done.returncode == 0, (text, done.stderr)
    return done.stdout.decode()


@pytest.mark.parametrize("name", ["$name", "${{ name }}"])
@pytest.mark.parametrize(("text", "before", "after"), PLACES)
@quiet
@given(values)
@example("")
@example("a  b")
@example("$HOME`id`\"'\\\\\n$(id)}")
def test_a_value_arrives_whole(text: str, before: str, after: str, name: str, value: str) -> None:
    assume(
        not ("${nothing" in text or "`" in text) or not re.search(r"[<>$]\(", value)
    )  # bash reads a process there even between quotes
    value += "."  # `$(…)` takes line breaks off the end
    written = text.replace("V", name)
    filled = interpolate(written, {"name": value}, writer(written))
    assert output(filled).removeprefix(before) == f"{value}{after}"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("python x.py $name --n ${{name}}", "python x.py 124M --n 124M"),
        (r"echo \$name \\$name '\'$name", r"echo \$name \\124M '\'124M"),
        ("echo $other ${name} $$ $names $1 $@", "echo $other ${name} $$ $names $1 $@"),
        ("cat <<'X'\n'$name'\nX", "cat <<'X'\n'124M'\nX"),
        ('echo "', 'echo "'),
        ("cat <<EOF\n$name", "cat <<EOF\n124M"),
    ],
)
def test_a_plain_value_goes_in_as_it_is(text: str, filled: str) -> None:
    assert interpolate(text, {"name": "124M"}, writer(text)) == filled


def test_a_list_of_words() -> None:
    values = {"args": ("--x", "a b")}
    for text, filled in (
        ("run $args", "run --x 'a b'"),
        ('bash -c "run $args"', "bash -c \"run --x 'a b'\""),
        ("bash -c 'run $args'", "bash -c 'run --x '\\''a b'\\'''"),
    ):
        assert interpolate(text, values, writer(text)) == filled


@given(st.text(alphabet="${}() \"'`\\#<\nEOx[]"))
def test_any_text_can_be_scanned(text: str) -> None:
    text = text.replace("${{", "$")
    assert interpolate(text, {"nothing": "1"}, writer(text)) == text


@pytest.mark.parametrize(
    ("text", "itself"),
    [
        ("for x in a b; do echo $x; done", True),
        ("x=9; echo $x", True),
        ("while read -r y x; do echo $x; done", True),
        ("local x=4; echo $x", True),
        ("python train.py --x=$x", False),
        ("for x in a; do echo ${x}; done", False),
        ("xx=1; echo $x", False),
        ("for i in 1 2; do echo $x; done", False),
    ],
)
def test_a_variable_that_the_shell_sets_itself(text: str, itself: bool) -> None:
    assert sets_itself(text, "x") is itself


@pytest.mark.parametrize("text", ["cat <<E", "cat <<E\nx", "echo 'a", 'echo "a', "echo a \\", "echo $(echo 'a"])
def test_a_text_that_goes_on_elsewhere(text: str) -> None:
    assert is_unfinished(text)


@pytest.mark.parametrize(
    "text",
    ["cat <<E\nx\nE", "echo don\\'t # isn't", "echo 'a' \"b\"", "echo a\\\\", "cat <<<'x'", "for x in a; do", "( x"],
)
def test_a_text_that_is_whole(text: str) -> None:
    assert not is_unfinished(text)
