"""What is executed where, so that a user stands inside a job. Pure: someone else runs it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# when there is nothing to stand in
NO_CONTAINER = 125
_SHELL = ("sh", "-c", 'exec "$(command -v bash || command -v sh)"')


def words_for(command: Sequence[str]) -> tuple[str, ...]:
    """The program and its arguments: one word is a line for a shell, several are taken as they are, none is an interactive
    shell, bash where there is one."""
    if not command:
        return _SHELL
    return ("sh", "-c", command[0]) if len(command) == 1 else tuple(command)


def in_container(attempt: str, command: Sequence[str], *, terminal: bool) -> str:
    """A line for the machine's shell: it executes `command` in the container of an attempt."""
    flags = "-it" if terminal else "-i"
    find = f"ps -q --filter {shlex.quote(f'label=dstack.attempt={attempt}')}"
    return "; ".join(
        (
            # who isn't in the engine's group may use it through sudo, without a password
            f'docker=docker; found=$(docker {find} 2>/dev/null) || {{ docker="sudo -n docker"; found=$($docker {find}); }}',
            f'[ -n "$found" ] || {{ echo "the job has no running container" >&2; exit {NO_CONTAINER}; }}',
            f'exec $docker exec {flags} -e TERM="${{TERM:-dumb}}" "$found" {shlex.join(words_for(command))}',
        )
    )


def on_machine(command: Sequence[str]) -> str:
    """A line for the machine's shell; "" for an interactive one."""
    return command[0] if len(command) == 1 else shlex.join(command)
