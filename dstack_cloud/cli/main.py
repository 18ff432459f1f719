"""The `dstack` command. It imports a command's module only when that command is called, and typer only then."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# name: (module in `commands`, one line of help); aliases share a module and have no help of their own
COMMANDS = {
    "run": ("run", "Run a workflow and follow it"),
    "ps": ("ps", "List runs: the unfinished ones, else the last (also: status, runs)"),
    "jobs": ("jobs", "List the jobs of runs"),
    "logs": ("logs", "Show the log of a run or job"),
    "attach": ("attach", "Follow a run again: its log, its ports on localhost"),
    "ssh": ("ssh", "Open a shell, or run a command, inside a running job"),
    "stop": ("stop", "Stop runs: artifacts are saved, unless aborted"),
    "resume": ("resume", "Start a job again that has ended, with what it saved"),
    "restart": ("restart", "Start a run again that has ended; --clear: from the beginning"),
    "artifacts": ("artifacts", "List and download what a run saved"),
    "tags": ("tags", "List the names that runs' outputs have; add and delete them"),
    "tag": ("tag", "Give a run a tag, to depend on"),
    "untag": ("untag", "Take a tag away"),
    "secrets": ("secrets", "Keep secrets, which every job has in its environment"),
    "init": ("init", "Let jobs reach a private Git remote"),
    "rehearse": ("rehearse", "Run a workflow in the sandbox and interrupt it, to see what is lost"),
    "offers": ("offers", "List what machines fit, where, and for how much"),
    "instances": ("instances", "List the machines that exist now"),
    "runners": ("runners", "List your own machines and those in use"),
    "config": ("config", "Set up projects, backends and the store; check that they work"),
    "aws": ("cloud", "Set up AWS: `dstack aws config`"),
    "gcp": ("cloud", "Set up Google Cloud: `dstack gcp config`"),
    "azure": ("cloud", "Set up Azure: `dstack azure config`"),
    "prune": ("prune", "Remove caches"),
    "rm": ("rm", "Remove a finished run with all it saved"),
    "validate": ("validate", "Check the workflow files of a folder"),
    "schema": ("schema", "Print the JSON Schema of workflow files, for editors"),
    "server": ("server", "Look at, start or stop the background server"),
}
ALIASES = {"status": "ps", "runs": "ps"}
LATER = frozenset({"cost", "schedule", "stats", "sweep", "webhook"})
_OPTIONS = ("--help", "--version", "--debug")


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """The exit code of one call."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called (`>&-`)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for as long as the program lives
    if list(argv) == ["--version"]:
        from dstack_cloud.version import __version__

        print(f"dstack {__version__}")
        return 0
    args, debug = _take_debug(list(argv))
    from dstack_cloud.cli.failures import guarded

    return guarded(lambda: _dispatch(args), debug=debug)


def _take_debug(argv: list[str]) -> tuple[list[str], bool]:
    end = argv.index("--") if "--" in argv else len(argv)
    ours = [word for word in argv[:end] if word != "--debug"]
    return ours + argv[end:], len(ours) < end or os.environ.get("DSTACK_DEBUG") == "1"


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if args else sys.stderr)
        return 0 if args else 2
    name = ALIASES.get(args[0], args[0])
    if name not in COMMANDS:
        raise _unknown(name)
    from importlib import import_module

    from dstack_cloud.cli.application import invoke

    module = import_module(f"dstack_cloud.cli.commands.{COMMANDS[name][0]}")
    return invoke(module, args[0], args[1:])


def _help() -> str:
    rows = [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    lines = [
        "Usage: dstack COMMAND [OPTIONS] [ARGS]",
        "",
        "Runs workflows of .dstack/ on machines that exist only while they are needed.",
        "",
        "Commands:",
        *rows,
        "",
        "Options:",
        "  -h, --help  Show this, or a command's own help behind its name",
        "  --version   Show the version",
        "  --debug     Show tracebacks (also: DSTACK_DEBUG=1)",
    ]
    return "\n".join(lines)


def _unknown(word: str) -> Exception:
    from dstack_cloud.errors import NotAvailableYet, UsageError

    if word in LATER:
        return NotAvailableYet(f"`dstack {word}` is not available yet", "`dstack --help` lists what is")
    from difflib import get_close_matches

    is_option = word.startswith("-")
    known = list(_OPTIONS) if is_option else [*COMMANDS, *ALIASES]
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return UsageError(
        f"there is no {'option' if is_option else 'command'} `{word}`",
        f"did you mean `dstack {near[0]}`?" if near else "`dstack --help` lists the commands",
    )
