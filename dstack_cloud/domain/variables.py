"""Variables of workflows, and everything else that the texts of one job may name.

In a name `-` and `_` are the same. Values are texts, spelled as in the file or on the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from dstack_cloud.errors import UsageError

# the section of variables that all workflows see
GLOBAL = "global"
RUN_ARGS = "run.args"
RUN_NAME = "run.name"
# the older spellings of the system's names; `$config_args` is the oldest dialect's
SYSTEM_NAMES = ("run_name", "job_id", "variables_as_args", "config_args")
KNOWN_NAMES = (RUN_ARGS, RUN_NAME, *SYSTEM_NAMES)

# variables of the environment without which a job doesn't work, or that mean something to every program
KEPT_FROM_ENVIRONMENT = frozenset(
    {"BASH_ENV", "ENV", "HOME", "IFS", "LANG", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOGNAME", "PATH", "PWD"}
    | {"PYTHONHOME", "PYTHONPATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"}
)

# a tuple is a list of words: in a shell each stays one, elsewhere there is a space between them
Value = str | tuple[str, ...]


@lru_cache(maxsize=8192)
def form(name: str) -> str:
    """What the spellings of one name have in common; with it, the name of a shell's variable."""
    return name.replace("-", "_")


@lru_cache(maxsize=8192)
def environment_name(name: str) -> str:
    return form(name).upper()


def as_options(variables: Mapping[str, str]) -> str:
    """As a command line would give them: `--lr 0.1 --name 'a b'`."""
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in variables.items())


def find_name(name: str, among: Mapping[str, object] | Sequence[str]) -> str | None:
    """`name` as it is spelled there."""
    return next((each for each in among if form(each) == form(name)), None)


@dataclass(frozen=True)
class Values:
    """What the texts of one job may name: facts of its run, and variables (`own` are its workflow's, `shared` the global ones)."""

    run_name: str
    job_id: str = ""
    args: tuple[str, ...] = ()
    shared: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def variables(self) -> dict[str, str]:
        """All that the workflow sees. One of its own hides a global one; the system's value takes the place of one with its name."""
        hidden = {environment_name(name) for name in self.own}
        seen = {name: value for name, value in self.shared.items() if environment_name(name) not in hidden}
        system = {"run_name": self.run_name, "job_id": self.job_id}
        given = {**seen, **self.own}
        return {name: system.get(form(name), value) for name, value in given.items() if not _is_list(name)}

    @cached_property
    def as_args(self) -> tuple[str, ...]:
        """The workflow's own: `--lr 0.1 --batch-size 32`, names as spelled in the file."""
        return tuple(
            word for name in self.own if name in self.variables for word in (f"--{name}", self.variables[name])
        )

    @cached_property
    def environment(self) -> dict[str, str]:
        """Upper case, `-` becomes `_`."""
        made = {environment_name(name): value for name, value in self.variables.items()}
        kept = {name: value for name, value in made.items() if not is_kept(name)}
        return {**kept, "JOB_ID": self.job_id}

    @cached_property
    def named(self) -> dict[str, Value]:
        """By `form`: what `$name` and `${{ name }}` stand for."""
        known: dict[str, Value] = {form(name): value for name, value in self.variables.items()}
        lists = {RUN_ARGS: self.args, "variables_as_args": self.as_args, "config_args": self.as_args}
        return {**known, RUN_NAME: self.run_name, "run_name": self.run_name, "job_id": self.job_id, **lists}


@dataclass(frozen=True)
class Variables:
    """What the files define: `shared` for all workflows, `own` by workflow; name → text. `help`: what is said of them, by
    section (GLOBAL for the shared ones) and name."""

    shared: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    help: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def overridden(self, workflow: str, given: Mapping[str, str]) -> Variables:
        """With other values for what this workflow sees. A global variable changes for all workflows, so also for those that
        it depends on; one of its own for it alone. Raises UsageError for a name that isn't there, or is the system's."""
        shared, own = dict(self.shared), dict(self.own.get(workflow, {}))
        for name, value in given.items():
            if form(name) in SYSTEM_NAMES:
                raise UsageError(f"`{name}` is set by dstack itself", "leave it out, or rename the variable")
            spelled = find_name(name, own) or find_name(name, shared)
            if spelled is None:
                raise unknown(name, workflow, [*own, *shared])
            (own if spelled in own else shared)[spelled] = value
        return replace(self, shared=shared, own={**self.own, workflow: own})

    def values(self, workflow: str, *, run_name: str, args: Sequence[str] = ()) -> Values:
        own = self.own.get(workflow, {})
        return Values(run_name, f"{run_name}.{workflow}", tuple(args), self.shared, own)

    def help_of(self, workflow: str, name: str) -> str:
        """Of one that the workflow sees."""
        section = workflow if name in self.own.get(workflow, {}) else GLOBAL
        return self.help.get(section, {}).get(name, "")

    def seen_by(self, workflow: str) -> dict[str, str]:
        """Its own first, then the global ones that they don't hide."""
        own = self.own.get(workflow, {})
        hidden = {environment_name(name) for name in own}
        return {**own, **{k: v for k, v in self.shared.items() if environment_name(k) not in hidden}}


def unknown(name: str, workflow: str, names: Sequence[str]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(form(name), {form(each): each for each in names}, 1, 0.6)
    there = f"it has: {', '.join(names)}" if names else "it has none; .dstack/variables.yaml defines variables"
    hint = f"did you mean `--{find_name(near[0], names)}`? {there}" if near else there
    return UsageError(f"the workflow `{workflow}` has no variable `{name}`", hint)


def is_kept(environment: str) -> bool:
    """Is it left as it is in the job's environment, whatever variable has that name?"""
    return environment in KEPT_FROM_ENVIRONMENT or environment.startswith("DSTACK_")


def _is_list(name: str) -> bool:
    return form(name) in ("variables_as_args", "config_args")
