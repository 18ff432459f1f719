"""Providers of the user's own: classes in a file of the working folder, or of packages that are installed beside dstack.

Their code is run in a process of its own that lives for one question, and is ended when it takes too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dstack_cloud.api import schemas
from dstack_cloud.domain import parsing, providers
from dstack_cloud.domain.parsing.known import PROVIDERS, SYNONYMS, Known
from dstack_cloud.domain.parsing.model import Body
from dstack_cloud.domain.parsing.values import env_key
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers import place
from dstack_cloud.providers.base import Given, Program
from dstack_cloud.providers.description import Description
from dstack_cloud.providers.loading import Answer, Request

GROUP = "dstack_cloud.providers"
ANSWER_SECONDS = 10.0
# what its code needs of this process's environment, to find Python and packages
_INHERITED = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")

_ANSWER = TypeAdapter(Answer)
_DESCRIPTION = TypeAdapter(Description)
_PROGRAM = TypeAdapter(Program)


class Failed(Exception):
    """Why a provider can't be used, in words for the user."""


@dataclass(frozen=True)
class Source:
    """Where a class is: in the file `module`, whose text is `source`, or in a module that can be imported."""

    module: str
    provider: str
    source: str | None = None


class OwnProviders(providers.Providers):
    """The built-in ones, and those that the files name. `patience`: seconds that each question to one may take."""

    def __init__(self, sources: Mapping[str, Source | str], patience: float) -> None:
        self._sources = sources
        self._patience = patience
        self.known = Known({name: _described(name, source, patience) for name, source in sources.items()})

    def program(self, name: str, options: Mapping[str, Any], given: Given) -> Program:
        source = self._sources.get(name)
        if not isinstance(source, Source):
            return super().program(name, options, given)
        try:
            return _program(source, options, given, self._patience)
        except Failed as error:
            text = f"the provider `{name}` of the workflow `{given.workflow}` failed: {error}"
            raise ConfigurationError(text, "correct its class, or the workflow's options") from error


def schema(patience: float = ANSWER_SECONDS) -> dict[str, Any]:
    """The JSON Schema of workflow files, with the providers of installed packages."""
    return parsing.json_schema(OwnProviders(_sources(_installed(), {}), patience).known)


def _installed() -> list[str]:
    """Names that packages offer; a built-in provider's name stays its own."""
    return sorted({each.name for each in entry_points(group=GROUP)} - set(PROVIDERS))


def check(
    files: Sequence[schemas.SourceFile], patience: float = ANSWER_SECONDS
) -> tuple[parsing.Checked, providers.Providers]:
    """Reads workflow files, with the providers that they name."""
    texts = {file["path"]: file["text"] for file in files}
    read = [(path, text) for path, text in texts.items() if not path.endswith(".py")]
    named = {name for _, text in read for name in place.named_in(text)} - set(PROVIDERS)
    if not named:
        return _checked(tuple(read)), providers.Providers()
    own = OwnProviders(_sources(named, texts), patience)
    return parsing.check(read, own.known), own


@lru_cache(maxsize=8)
def _checked(files: tuple[tuple[str, str], ...]) -> parsing.Checked:
    """One command asks several times about the same files: which variables there are, the plan, the run."""
    return parsing.check(files)


def _sources(named: Iterable[str], texts: Mapping[str, str]) -> dict[str, Source | str]:
    found: dict[str, Source | str] = {}
    installed = {each.name: each for each in entry_points(group=GROUP)}
    for name in sorted(named):
        if place.is_own(name):
            path, provider = place.split(name)
            text = texts.get(path)
            found[name] = Source(path, provider, text) if text is not None else f"there is no file {path} here"
        elif name in installed:
            found[name] = Source(installed[name].module, installed[name].attr)
    return found


def _described(name: str, source: Source | str, patience: float) -> Description | str:
    if isinstance(source, str):
        return source
    try:
        answer = _ask(source, {}, None, patience)
        described = _DESCRIPTION.validate_json(json.dumps(answer.description), strict=True)
    except Failed as error:
        return str(error)
    except ValidationError as error:
        return f"its class says of itself what can't be: {_where(error)}"
    taken = sorted({*described.spellings} & {*Body.model_fields, *SYNONYMS} - {*described.synonyms})
    if taken:
        return f"its option `{taken[0]}` is a field that every workflow has"
    return replace(described, name=name)


def _program(source: Source, options: Mapping[str, Any], given: Given, patience: float) -> Program:
    answer = _ask(source, dict(options), asdict(given), patience)
    try:
        program = _PROGRAM.validate_json(json.dumps(answer.program), strict=True)
    except ValidationError as error:
        raise Failed(f"the Program that it returned can't be: {_where(error)}") from error
    if not program.commands and not program.image:
        raise Failed("the Program that it returned has neither commands nor an image")
    if any(
        "\0" in text for text in (*program.commands, *program.setup, *(program.entrypoint or ()), program.image or "")
    ):
        raise Failed("the Program that it returned holds a NUL character")
    if program.page and not program.page.startswith("/"):
        raise Failed(f"the page `{program.page}` doesn't begin with `/`")
    if program.token and (wrong := env_key(program.token)):
        raise Failed(f"its token: {wrong}")
    return program


def _ask(source: Source, options: dict[str, Any], given: dict[str, Any] | None, patience: float) -> Answer:
    """Raises Failed."""
    request: Request = {**asdict(source), "options": options, "given": given}  # type: ignore[typeddict-item]
    try:
        answer = _ANSWER.validate_json(_output(json.dumps(request).encode(), patience))
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{source.module} didn't answer within {patience:g} s") from error
    except ValidationError as error:
        raise Failed(f"{source.module} ended its process without an answer") from error
    if answer.wrong:
        raise Failed(answer.wrong)
    return answer


def _output(request: bytes, patience: float) -> bytes:
    """Of the process, which is gone afterwards with all that it started. Raises subprocess.TimeoutExpired."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="dstack-provider-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "dstack_cloud.providers.loading"],
            cwd=folder, env={**environment, "HOME": folder, "PYTHONDONTWRITEBYTECODE": "1"}, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return process.communicate(request, timeout=patience)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _where(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"`{'.'.join(map(str, first['loc']))}`: {first['msg'][:1].lower()}{first['msg'][1:]}"
