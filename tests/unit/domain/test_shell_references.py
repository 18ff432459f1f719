"""`${{ secrets.NAME }}` in commands, as a real shell reads what becomes of it."""

from __future__ import annotations

import subprocess

import pytest

from dstack_cloud.domain.shell_references import with_references
from dstack_cloud.errors import ConfigurationError

VALUE = 'it\'s  "$HOME" `x` \\ *'
REFERENCE = "${{ secrets.TOKEN }}"


def said(text: str) -> str:
    filled = with_references(text)
    assert REFERENCE not in filled
    env = {"TOKEN": VALUE, "PATH": "/usr/bin:/bin"}
    answer = subprocess.run(["bash", "-c", filled], env=env, capture_output=True, text=True, check=True)
    return answer.stdout


@pytest.mark.parametrize(
    "text",
    [
        "printf %s R",
        'printf %s "R"',
        "printf %s 'R'",
        "printf %s $'R'",
        'x=R; printf %s "$x"',
        'printf %s "$(printf %s R)"',
        'printf %s "$(printf %s "R")"',
        'printf %s "`printf %s R`"',
        "# don't\nprintf %s R",
        "printf %s a'b'\"c'd\" >/dev/null; printf %s R",
        "printf %s \\' >/dev/null; printf %s R",
        'printf %s "a\\"b" >/dev/null; printf %s R',
        "(printf %s R)",
        'read -r x <<< R; printf %s "$x"',
        "printf %s ${none:-R}",
        "echo $#'' >/dev/null; printf %s R",
    ],
)
def test_it_is_one_word_wherever_it_stands(text: str) -> None:
    assert said(text.replace("R", REFERENCE)) == VALUE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat <<EOF\n'R' \"R\"\nEOF\necho R", f"'{VALUE}' \"{VALUE}\"\n{VALUE}\n"),
        ("cat <<-EOF; echo R\n\tR\n\tEOF\necho 'R'", f"{VALUE}\n{VALUE}\n{VALUE}\n"),
        ("cat <<A; cat <<'B'\nR\nA\ndon't\nB\necho R", f"{VALUE}\ndon't\n{VALUE}\n"),
        ("cat <<EOF\n$(echo R)\nEOF", f"{VALUE}\n"),
        ("echo 'a R b'R\"cR\"", f"a {VALUE} b{VALUE}c{VALUE}\n"),
    ],
)
def test_in_here_documents_and_between_quotes(text: str, expected: str) -> None:
    assert said(text.replace("R", REFERENCE)) == expected


@pytest.mark.parametrize("end", ["'EOF'", '"EOF"', "\\EOF"])
def test_where_a_shell_fills_nothing_in_it_is_refused(end: str) -> None:
    with pytest.raises(ConfigurationError, match="here-document"):
        with_references(f"cat <<{end}\n{REFERENCE}\nEOF\n")


@pytest.mark.parametrize("text", ["$TOKEN ${TOKEN} $$", "$${{ secrets.TOKEN }}", "${{ run.args }}", "'\"`("])
def test_all_else_stays(text: str) -> None:
    assert with_references(text) == text
