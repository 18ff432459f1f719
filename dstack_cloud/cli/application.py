"""How a command's module becomes a command line: typer, with this project's errors and help."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Protocol, TypeVar, cast, get_type_hints

import typer
from typer.main import get_command

from dstack_cloud.errors import UsageError

# the class above typer.BadParameter: every mistake on a command line, in all of typer's versions
_CommandLineError = cast("type[Exception]", typer.BadParameter.__bases__[0])

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Don't ask.")]
Detach = Annotated[bool, typer.Option("-d", "--detach", help="Print the run's name and return.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", show_default=False, help="The run's name, like shady-1.")]
RunOrJob = Annotated[
    str,
    typer.Argument(metavar="RUN|JOB", show_default=False, help="A run (shady-1) or one of its jobs (shady-1.train)."),
]


Options = TypeVar("Options")


class _Invocable(Protocol):
    def __call__(self, args: list[str], *, prog_name: str, standalone_mode: bool, obj: object) -> object: ...


def application(help_text: str | None = None) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def takes(options: type[Options]) -> Callable[[Callable[[typer.Context, Options], None]], Callable[..., None]]:
    """Lets a command take its options as one record, a NamedTuple with a typer annotation a field, where there are many."""

    def decorate(command: Callable[[typer.Context, Options], None]) -> Callable[..., None]:
        def called(context: typer.Context, **values: object) -> None:
            command(context, options(**values))

        types = get_type_hints(options, include_extras=True)
        defaults = getattr(options, "_field_defaults", {})
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter("context", kind, annotation=typer.Context)] + [
            inspect.Parameter(name, kind, default=defaults.get(name, inspect.Parameter.empty), annotation=annotation)
            for name, annotation in types.items()
        ]
        setattr(called, "__signature__", inspect.Signature(parameters))  # noqa: B010 - mypy knows no such attribute
        called.__annotations__ = {"context": typer.Context, **types}
        called.__doc__ = command.__doc__
        called.__name__ = command.__name__
        return called

    return decorate


def invoke(module: ModuleType, name: str, args: list[str]) -> int:
    """Runs `module.app`. A module with `DEFAULT` has subcommands, of which that one may be left out (with `ALONE` also where nothing
    else is said); one with `TAKES_REST` gets what stands behind `--` untouched, as the context's `obj`; one with `arrange` says
    itself which words typer reads, and what that `obj` is."""
    default = getattr(module, "DEFAULT", None)
    alone = getattr(module, "ALONE", False)
    if default and (args or alone) and args[:1] not in [[word] for word in (*module.SUBCOMMANDS, "-h", "--help")]:
        args = [default, *args]
    rest: list[str] = []
    if getattr(module, "TAKES_REST", False) and "--" in args:
        split = args.index("--")
        args, rest = args[:split], args[split + 1 :]
    command = cast("_Invocable", get_command(module.app))
    found: object = rest
    if hasattr(module, "arrange"):
        args, found = module.arrange(command, args, rest)
    try:
        code = command(args, prog_name=f"dstack {name}", standalone_mode=False, obj=found)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer makes an exit of its own out of it
            raise error.__context__ from None
        raise
    except typer.Abort as error:
        raise UsageError("nothing was done: the question wasn't answered with yes") from error
    except _CommandLineError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # a command with subcommands, and none was named
            print(error, file=sys.stderr)
            return 2
        raise _usage_error(error, f"dstack {name}") from error
    return code if isinstance(code, int) else 0


def _usage_error(error: Exception, program: str) -> UsageError:
    message = str(getattr(error, "message", "") or error)
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", program)
    option = getattr(error, "option_name", None)
    if option and type(error).__name__ == "NoSuchOption":
        return _no_such_option(str(option), getattr(error, "possibilities", None), context, path)
    if wrong := _wrong_number(error):
        return UsageError(wrong, f"`{path} --help` shows its usage")
    message = error.format_message() if hasattr(error, "format_message") else message
    text = message.rstrip(".")
    return UsageError(text[:1].lower() + text[1:], f"`{path} --help` shows its usage")


def _wrong_number(error: Exception) -> str:
    """In plain words: the library speaks of ranges."""
    parameter = getattr(error, "param", None)
    kind = getattr(parameter, "type", None)
    name = str(getattr(kind, "name", ""))
    if parameter is None or not name.startswith(("int", "float")) or not isinstance(error, typer.BadParameter):
        return ""
    option = parameter.opts[-1] if parameter.param_type_name == "option" else parameter.human_readable_name
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    bounds = (
        f" from {least} to {most}" if None not in (least, most) else f", {least} or more" if least is not None else ""
    )
    given = re.match(r"'?(.*?)'? is not (?:a valid|in the range)", error.message, re.DOTALL)
    found = f", found `{given[1]}`" if given else ""
    return f"`{option}` must be {'a whole number' if name.startswith('int') else 'a number'}{bounds}{found}"


def _no_such_option(option: str, possibilities: list[str] | None, context: object, path: str) -> UsageError:
    from difflib import get_close_matches

    command = getattr(context, "command", None)
    known = [name for parameter in getattr(command, "params", []) for name in parameter.opts if name.startswith("--")]
    near = get_close_matches(option, [*known, "--help"], n=1, cutoff=0.5) or possibilities
    hint = f"did you mean `{near[0]}`?" if near else f"`{path} --help` lists the options"
    return UsageError(f"there is no option `{option}`", hint)
