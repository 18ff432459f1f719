"""Values that nobody is to see: given, asked for without echo, or read from stdin."""

from __future__ import annotations

import sys

from dstack_cloud.cli.failures import say
from dstack_cloud.errors import UsageError


def read_value(what: str, given: str | None, otherwise: str) -> str:
    """`otherwise` is the command that asks. Raises UsageError, and typer.Abort where nobody answers."""
    if given is not None:
        say(f"note: your shell's history keeps that value; `{otherwise}` asks for it instead")
        return given
    if sys.stdin.isatty():
        return _ask(what)
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UsageError("what came on stdin isn't UTF-8 text", "encode it, as base64") from error
    # the end of line that `echo` and editors add
    return text.removesuffix("\n").removesuffix("\r")


def _ask(what: str) -> str:
    # not typer's: it prompts before it switches the echo off, and what is typed in between is lost
    from getpass import getpass

    try:
        return getpass(f"{what}: ", sys.stderr)
    except EOFError:
        raise UsageError("nothing was given", None) from None
