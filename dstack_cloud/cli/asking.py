"""Questions on a terminal. They go to stderr, as everything that isn't a command's result."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from dstack_cloud.cli.failures import say
from dstack_cloud.errors import DstackError, UsageError

Answer = TypeVar("Answer")


def somebody_is_there() -> bool:
    return sys.stdin.isatty()


def ask(question: str, default: str, read: Callable[[str], Answer]) -> Answer:
    """Again until `read` makes something of the answer; what it raises is shown. An empty answer is the default."""
    while True:
        print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            raise UsageError("nothing was written: a question wasn't answered")
        try:
            return read(line.strip() or default)
        except DstackError as wrong:
            say(f"  {wrong.summary}" + (f": {wrong.hint}" if wrong.hint else ""))


def choose(question: str, names: Sequence[str], default: int) -> int:
    """The index of the one that is chosen, by its number or its name."""
    for number, name in enumerate(names, 1):
        print(f"  {number}  {name}", file=sys.stderr)

    def read(answer: str) -> int:
        if answer.isdigit() and 1 <= int(answer) <= len(names):
            return int(answer) - 1
        meant = [n for n, name in enumerate(names) if answer.lower() in name.lower()]
        if len(meant) != 1:
            raise UsageError(f"{answer!r} is none of them", f"a number from 1 to {len(names)}")
        return meant[0]

    return ask(question, str(default + 1), read)


def words(text: str) -> list[str]:
    """What is separated by commas or spaces, each once."""
    return list(dict.fromkeys(text.replace(",", " ").split()))
