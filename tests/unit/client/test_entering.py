from __future__ import annotations

import subprocess

import pytest

from dstack_cloud.client import entering


@pytest.mark.parametrize(
    ("command", "said"),
    [(["echo one | tr a-z A-Z"], "ONE\n"), (["printf", "%s|", "a b", "$HOME", "'"], "a b|$HOME|'|")],
)
def test_one_word_is_for_a_shell_and_several_are_exact(command: list[str], said: str) -> None:
    words = entering.words_for(command)
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == said
    on_machine = ["sh", "-c", entering.on_machine(command)]
    assert subprocess.run(on_machine, capture_output=True, text=True, check=True).stdout == said


def test_the_line_for_a_container_survives_the_machines_shell() -> None:
    line = entering.in_container("shady-1-abc", ["echo", "it's; here"], terminal=True)
    assert "label=dstack.attempt=shady-1-abc" in line
    assert "exec -it " in line
    assert subprocess.run(["sh", "-n", "-c", line], check=True).returncode == 0


def test_without_a_command_it_is_a_shell() -> None:
    assert entering.on_machine([]) == ""
    assert "bash" in " ".join(entering.words_for([]))
