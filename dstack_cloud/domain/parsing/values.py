"""Readers of single values: each takes what stands in the file and gives what the model keeps.

They are Pydantic validators. `Wrong` carries the findings through Pydantic to `sentences`: their `at` is relative to the
value, their text goes on after the field's name ("must be …").
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Sequence

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from dstack_cloud.domain.durations import ALLOWED as DURATIONS
from dstack_cloud.domain.durations import parse_duration
from dstack_cloud.domain.parsing.known import BUILT_IN, Known
from dstack_cloud.domain.parsing.problems import Finding, nearest, nearest_hint, shown
from dstack_cloud.domain.parsing.source import Fields, Items, Scalar
from dstack_cloud.domain.sizes import ALLOWED as SIZES
from dstack_cloud.domain.sizes import parse_size
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.options import Option

PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
LONGEST_NAME = 100
ERROR_TYPE = "dstack"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ENV_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,12}\.?[0-9]{0,12}|\.[0-9]{1,12})")
_PORT = re.compile(r"([+-]?[0-9]{1,9})(?::([+-]?[0-9]{1,9}))?")


def wrong(findings: Sequence[Finding]) -> PydanticCustomError:
    return PydanticCustomError(ERROR_TYPE, "see `findings`", {"findings": tuple(findings)})


def refuse(text: str, hint: str | None = None) -> PydanticCustomError:
    return wrong([Finding((), text, hint)])


def found(value: object) -> str:
    """What stands in the file, for "must be …, found …"."""
    if isinstance(value, Fields):
        return "a mapping"
    if isinstance(value, Items):
        return "a list" if value else "an empty list"
    if not isinstance(value, Scalar):
        return shown(str(value))
    kinds = {"text": "the text ", "number": "the number ", "bool": "", "null": ""}
    return "nothing" if value.kind == "null" else "an empty text" if not value else kinds[value.kind] + shown(value)


def expected(allowed: str, value: object, hint: str | None = None) -> PydanticCustomError:
    return refuse(f"must be {allowed}, found {found(value)}", hint or _no_variable(value))


def _no_variable(value: object) -> str | None:
    return "this can't stand here: write the value itself" if isinstance(value, Scalar) and "${{" in value else None


def text(value: object) -> str:
    """Any scalar, spelled as in the file."""
    if isinstance(value, Scalar) and value.kind != "null":
        return str(value)
    raise expected("a text", value, _unquoted(value))


def word(value: object) -> str:
    """A text that isn't empty and that YAML doesn't take for a number or a truth value."""
    if isinstance(value, Scalar) and value.kind == "text" and value.strip():
        return str(value)
    raise expected("a text", value, _unquoted(value))


def command(value: object) -> str:
    if isinstance(value, Scalar) and value.kind != "null" and value.strip():
        return str(value)
    raise expected("a command", value, _unquoted(value))


def flag(value: object) -> bool:
    if isinstance(value, Scalar) and value.kind == "bool":
        return value.lower() in ("true", "yes", "on", "y")
    raise expected("true or false", value)


def name(value: object) -> str:
    given = text(value)
    if is_name(given):
        return given
    if not given:
        raise refuse("is empty", "give the workflow a name")
    if len(given) > LONGEST_NAME:
        raise refuse(f"has {len(given)} characters; {LONGEST_NAME} are allowed")
    better = re.sub(r"[^A-Za-z0-9_.-]+", "-", given).strip("-.")
    hint = f"call it `{better}`, say" if better else "use letters and digits"
    if given.startswith("-"):
        raise refuse(f"{shown(given)} begins with `-`, which a command line takes for an option", hint)
    if any(char.isspace() for char in given):
        raise refuse(f"{shown(given)} has a space in it", hint)
    raise refuse(
        f"{shown(given)} may hold letters, digits, `_`, `.` and `-`, and begins with a letter, a digit or `_`", hint
    )


def is_name(given: str) -> bool:
    """May a workflow or a tag be called so?"""
    return _NAME.fullmatch(given) is not None and len(given) <= LONGEST_NAME


def provider(value: object, info: ValidationInfo) -> str:
    """One that the context's `known` knows."""
    given = word(value)
    known: Known = (info.context or {}).get("known", BUILT_IN)
    if known.describes(given):
        return given
    if given in known.failures:
        raise refuse(f"{shown(given)} can't be used: {known.failures[given]}")
    hint = nearest_hint(given, known.names, "providers")
    if ".py" in given:
        hint = "one of your own is `./FILE.py:CLASS`, a file inside the working folder and a class in it"
    raise refuse(f"{shown(given)} isn't one that is known", hint)


def python(value: object) -> str:
    given = text(value)
    if given in PYTHONS:
        return given
    hint = f"one of {', '.join(PYTHONS)}"
    minor = ".".join(given.split(".")[:2])
    if minor in PYTHONS:
        hint = f"write `{minor}`: the newest patch of it is used"
    elif given == "3.1":
        hint = f"did you mean `3.10`? {hint}"
    raise expected("a version of Python from 3.8 to 3.13", value, hint)


def whole(least: int, most: int) -> Callable[[object], int]:
    """A reader of whole numbers from `least` to `most`, quoted or not."""

    def read(value: object) -> int:
        if isinstance(value, Scalar) and _WHOLE.fullmatch(value) and least <= int(value) <= most:
            return int(value)
        raise expected(f"a whole number from {least} to {most}", value)

    return read


def decimal(value: object) -> float:
    """A number that is written in decimals (no exponent), 0 or more."""
    if isinstance(value, Scalar) and _DECIMAL.fullmatch(value):
        number = float(value)
        if math.isfinite(number) and number >= 0:
            return number
    raise expected("a number that isn't negative", value)


def price(value: object) -> float:
    if isinstance(value, Scalar) and value.startswith("$"):
        raise expected("a number of USD per hour", value, f"write it without the sign: `{value[1:]}`")
    return decimal(value)


def choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if isinstance(value, Scalar) and value in choices:
            return str(value)
        raise expected(f"one of {', '.join(choices)}", value, _near(value, choices))

    return read


def size(value: object) -> int:
    return _measured(parse_size, SIZES, value)


def duration(value: object) -> int:
    return _measured(parse_duration, DURATIONS, value)


def env_key(value: str) -> str | None:
    """What is wrong with the name of an environment variable; None: nothing."""
    if _ENV_KEY.fullmatch(value):
        return None
    return f"{shown(value)} can't be the name of an environment variable"


def inside(given: str) -> str:
    """A normalised path below the working folder. Raises ConfigurationError, whose summary goes on after the field's name."""
    if not given.strip():
        raise ConfigurationError("is empty", "write a path such as `data`")
    if given.startswith("/"):
        raise ConfigurationError(f"{shown(given)} is absolute", "write it relative to the working folder")
    if given.startswith("~"):
        raise ConfigurationError(f"{shown(given)} is in a home folder", "write a path inside the working folder")
    normal = posixpath.normpath(given)
    if normal == ".." or normal.startswith("../"):
        raise ConfigurationError(f"{shown(given)} leaves the working folder", "write a path inside it")
    return normal


def option_path(given: str, option: Option) -> str:
    """As `inside`; where it may be made, a `/` at its end stays, which says that it is a folder. Raises ConfigurationError."""
    folder = "/" if given.endswith("/") and not option.must_exist else ""
    return inside(given) + folder


def inside_or_home(given: str) -> str:
    """As `inside`, or below the job's home folder (`~/…`). Raises ConfigurationError."""
    if not given.startswith("~"):
        return inside(given)
    if given != "~" and not given.startswith("~/"):
        raise ConfigurationError(f"{shown(given)} is in another user's home folder", "write `~/…` for the job's own")
    normal = posixpath.normpath(given.lstrip("~").lstrip("/") or ".")
    if normal == ".":
        raise ConfigurationError(
            f"{shown(given)} is the whole home folder", "name what is in it, such as `~/.cache/pip`"
        )
    if normal == ".." or normal.startswith("../"):
        raise ConfigurationError(f"{shown(given)} leaves the home folder", "write a path inside it")
    return f"~/{normal}"


def absolute(given: str) -> str:
    """A normalised absolute path. Raises ConfigurationError."""
    if not given.startswith("/"):
        raise ConfigurationError(
            f"{shown(given)} isn't absolute", "write it from the root of the job's machine, such as `/root`"
        )
    return "/" + posixpath.normpath(given).lstrip("/")


def path(check: Callable[[str], str]) -> Callable[[object], str]:
    """A reader of paths that `check` normalises."""

    def read(value: object) -> str:
        given = text(value)
        try:
            return check(given)
        except ConfigurationError as error:
            raise refuse(error.summary, error.hint) from error

    return read


def port(value: object) -> tuple[int, int]:
    """(app, local) of `8000` or `8000:8080`."""
    match = _PORT.fullmatch(value) if isinstance(value, Scalar) else None
    if match is None:
        raise expected('a port such as 8000, or "APP:LOCAL" such as "8000:8080"', value)
    app, local = int(match[1]), int(match[2] or match[1])
    for number in (app, local):
        if not 1 <= number <= 65535:
            raise refuse(f"has the port {number}; ports go from 1 to 65535")
    return app, local


def _measured(parse: Callable[[str], int], allowed: str, value: object) -> int:
    if not isinstance(value, Scalar) or value.kind in ("bool", "null"):
        raise expected(allowed, value)
    if hint := _no_variable(value):
        raise expected(allowed, value, hint)
    try:
        return parse(str(value))
    except ConfigurationError as error:
        raise refuse(f"isn't right: {error.summary}", error.hint) from error


def _near(value: object, choices: Sequence[str]) -> str | None:
    near = nearest(str(value), choices) if isinstance(value, Scalar) else None
    return f"did you mean `{near}`?" if near else None


def _unquoted(value: object) -> str | None:
    """The usual reason for a mapping where a text should be: `: ` in a text without quotes."""
    if isinstance(value, Fields):
        return "a text that contains `: ` must be in quotes"
    return None
