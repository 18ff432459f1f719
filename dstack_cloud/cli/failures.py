"""What a command's failure looks like, and its exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping

from dstack_cloud.errors import DstackError

INTERRUPTED = 130  # 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE
BUG = 70  # EX_SOFTWARE of sysexits.h
UNWRITTEN = 74  # EX_IOERR
# for the documentation
EXIT_CODES: Mapping[int | str, str] = {
    0: "it worked; for an attached `run`: the job ended with 0",
    1: "it failed; for an attached `run`: the job failed and has no exit code of its own",
    2: "the command, a file or a name is wrong, or not available yet; nothing was started. Also `dstack` without arguments, which"
    " shows the help",
    3: "the dstack server can't be reached or failed",
    BUG: "a bug in dstack",
    UNWRITTEN: "the output can't be written (its disk is full); a run goes on",
    INTERRUPTED: "interrupted with Ctrl+C; for an attached `run`: the run was stopped or aborted, by whomever",
    BROKEN_PIPE: "whoever read the output closed it; a run goes on",
    "other": "`run`: the job's own exit code",
}
# where a workflow comes from that no file has
COMMAND_LINE = "command line"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def guarded(command: Callable[[], int], *, debug: bool) -> int:
    """Runs `command`; whatever escapes it is told on stderr and becomes an exit code."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence()  # whoever read our output has enough
        return BROKEN_PIPE
    except DstackError as error:
        if debug:
            _traceback()
        return report(error)
    except Exception as error:  # noqa: BLE001 - the last frame of the program: a bug, told as one
        if debug:
            _traceback()
        elif isinstance(error, OSError) and error.errno in _FULL:
            say(f"error: can't write the output: {error.strerror}", "red")
            say("hint: make room where it goes; a run that was followed goes on: look with `dstack ps`")
            _silence()
            return UNWRITTEN
        else:
            say(f"error: a bug in dstack: {type(error).__name__}: {error}", "red")
            say("hint: please report it with what the same command prints with --debug")
        return BUG


def _silence() -> None:
    """The interpreter's last flush must not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(error: DstackError) -> int:
    for problem in getattr(error, "problems", ()):
        say(problem_line(problem))
    say(f"error: {_summary(error)}", "red")
    if error.hint:
        say(f"hint: {error.hint}")
    return error.exit_code


def _summary(error: DstackError) -> str:
    """Whoever wrote no file is told of none."""
    problems = getattr(error, "problems", ())
    if problems and all(problem["file"] == COMMAND_LINE for problem in problems):
        return f"{'a problem' if len(problems) == 1 else f'{len(problems)} problems'} on the command line"
    return error.summary


def problem_line(problem: Mapping[str, object]) -> str:
    """`file:line:column: text (hint)`; what isn't known is left out."""
    place = str(problem["file"])
    if problem.get("line") and place != COMMAND_LINE:
        place += f":{problem['line']}:{problem.get('column') or 1}"
    hint = problem.get("hint")
    return f"{place}: {problem['text']}{f' ({hint})' if hint else ''}"


def say(text: str, colour: str = "") -> None:
    """One line on stderr; its first word coloured where that is seen."""
    head, colon, rest = text.partition(":")
    if colour and colon and coloured():
        text = f"\033[1;31m{head}{colon}\033[0m{rest}"
    print(text, file=sys.stderr, flush=True)


def coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _traceback() -> None:
    import traceback

    traceback.print_exc()
