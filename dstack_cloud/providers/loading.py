"""Loads a provider of the user's own, in a process for nothing else: `python -m dstack_cloud.providers.loading`.

Reads a Request as JSON from its input, and writes an Answer as JSON to its output. What the user's code prints goes nowhere.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any, TypedDict

from dstack_cloud.providers.base import Given, Program, Provider
from dstack_cloud.providers.description import describe


class Request(TypedDict):
    """`module`: what is imported, or the file whose `source` is given; `given` is None where it is only to be described."""

    module: str
    source: str | None
    provider: str
    options: dict[str, Any]
    given: dict[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """One of them: the description, the program, or what is wrong."""

    description: dict[str, Any] | None = None
    program: dict[str, Any] | None = None
    wrong: str = ""


class Wrong(Exception):
    """Its text is for the user."""


def answer(request: Request) -> Answer:
    """Whatever the user's code does, but ending the process or never returning."""
    where = request["module"]
    try:
        provider = _class(_module(where, request["source"]), where, request["provider"])
        if request["given"] is None:
            return Answer(description=asdict(describe(provider)))
        return Answer(program=_program(provider, request["options"], request["given"]))
    except Wrong as error:
        return Answer(wrong=str(error))
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt of the user's code, too
        return Answer(wrong=_told(error, where))


def _module(where: str, source: str | None) -> ModuleType:
    if source is None:
        return importlib.import_module(where)
    module = ModuleType("provider_of_the_user")
    module.__file__ = where
    sys.modules[module.__name__] = module
    exec(compile(source, where, "exec"), module.__dict__)  # noqa: S102 - what this process is for
    return module


def _class(module: ModuleType, where: str, name: str) -> type[Provider]:
    found = getattr(module, name, None)
    if found is None:
        classes = [key for key, each in vars(module).items() if _is_provider(each)]
        there = f"its providers are: {', '.join(classes)}" if classes else "it has no provider at all"
        raise Wrong(f"there is no class `{name}` in {where}; {there}")
    if not _is_provider(found):
        raise Wrong(f"`{name}` in {where} is no subclass of dstack_cloud.providers.Provider")
    if inspect.isabstract(found):
        raise Wrong(f"`{name}` in {where} has no method `program(self, given)`")
    checked: type[Provider] = found
    return checked


def _is_provider(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Provider) and value is not Provider


def _program(provider: type[Provider], options: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    common: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    program = provider(**tuples).program(Given(**common))
    if not isinstance(program, Program):
        raise Wrong(f"`program` of `{provider.__name__}` must return a Program, and returned {type(program).__name__}")
    return asdict(program)


def _told(error: BaseException, where: str) -> str:
    """With the place in the user's file, where there is one."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == where] or frames[-1:]
    return f"{own[-1].filename}:{own[-1].lineno}: {text}" if own else text


def main() -> None:
    request: Request = json.load(sys.stdin)
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    found = answer(request)
    try:
        text = json.dumps(asdict(found))
    except (TypeError, ValueError) as error:
        text = json.dumps(asdict(Answer(wrong=f"what `{request['provider']}` says holds more than texts: {error}")))
    with os.fdopen(out, "w") as pipe:
        pipe.write(text)
    os._exit(0)  # what the user's code has started doesn't hold it


if __name__ == "__main__":
    main()
