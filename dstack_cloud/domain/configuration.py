"""`config.yaml` of the state folder: projects, their backends, their home store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from dstack_cloud import errors
from dstack_cloud.domain.resources import Frozen
from dstack_cloud.domain.spelling import unknown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

DEFAULT_PROJECT = "main"
# it is a part of addresses, folders and the tags of machines
PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
SECRET_WORDS = ("access_key", "secret", "token", "password", "credential", "account_key", "sas")


class ProjectSettings(Frozen):
    """`settings` by backend, as that backend's config model reads them."""

    backends: tuple[str, ...] = Field(
        ("local",),
        description="Where a workflow runs that names none: the cheapest offer wins. A backend that isn't there can still be named:"
        " `dstack run train --backend sandbox`.",
    )
    store: str = Field(
        "",
        description="Code, logs, artifacts and caches: `file:///folder`, `s3://bucket/folder`, `gs://bucket/folder` or"
        " `az://container/folder`. Without it: a folder in the state folder. One in the cloud is reached by the machines themselves,"
        " so that a job ends well while this computer is off.",
    )
    store_options: Mapping[str, str] = Field(
        default_factory=dict,
        description="What the URL can't say: `region`, `endpoint`. Nothing secret, because machines get them.",
    )
    settings: Mapping[str, Mapping[str, Any]] = Field(
        default_factory=dict, description="Of backends, by name: `aws`, `gcp`, `azure`, `ssh`, `sandbox`, `local`."
    )

    @field_validator("store_options")
    @classmethod
    def _nothing_secret(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        """They are sent to machines."""
        for name in value:
            if any(word in name.lower() for word in SECRET_WORDS):
                raise ValueError(
                    f"{name!r} looks like a credential: put it where the cloud's own tools keep it (~/.aws)"
                )
        return value

    @field_validator("backends")
    @classmethod
    def _some_backend(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("a project needs a backend at least")
        return value


class Configuration(Frozen):
    """Of one state folder."""

    projects: Mapping[str, ProjectSettings] = Field(
        default_factory=lambda: {DEFAULT_PROJECT: ProjectSettings()},
        description="By name: letters, digits, `.`, `_`, `-`. Each has its runs, secrets, tags and machines.",
    )
    default_project: str = Field(
        "",
        description="The one that a command means which names none. Without it: the only one, or `main`. `DSTACK_PROJECT` overrides"
        " it for one command.",
    )
    ca_bundle: str = Field(
        "",
        description="A PEM file that machines and containers trust, too (a company's proxy). `DSTACK_CA_BUNDLE` overrides it.",
    )
    default_image: str = Field(
        "",
        description="What jobs without `image` run in; `{python}` stands for the version. `DSTACK_DEFAULT_IMAGE` overrides it.",
    )

    @property
    def default(self) -> str:
        """The project that is meant where none is named: the only one, or `main`, unless another is chosen."""
        return self.default_project or (next(iter(self.projects)) if len(self.projects) == 1 else DEFAULT_PROJECT)

    @field_validator("projects")
    @classmethod
    def _have_names(cls, projects: Mapping[str, ProjectSettings]) -> Mapping[str, ProjectSettings]:
        for name in projects:
            check_project_name(name)
        if not projects:
            raise ValueError("there is no project: leave `projects` out, or name one")
        return projects

    @model_validator(mode="after")
    def _default_is_there(self) -> Configuration:
        if self.default_project and self.default_project not in self.projects:
            raise ValueError(f"`default_project`: {unknown('project', self.default_project, self.projects)}")
        return self


def check_project_name(name: str) -> None:
    """Raises ValueError."""
    if not PROJECT_NAME.fullmatch(name):
        raise ValueError(f"{name!r} can't be a project's name: letters, digits, `.`, `_` and `-`, 63 at most")


@dataclass(frozen=True)
class Source:
    path: str
    text: str


def parse_configuration(source: Source | None, environment: Mapping[str, str]) -> Configuration:
    """The file, with DSTACK_CA_BUNDLE and DSTACK_DEFAULT_IMAGE over it; no file is a good configuration too.

    Raises ConfigurationError with the file, the key and what is wrong.
    """
    raw = _load(source) if source else {}
    for name, key in (("DSTACK_CA_BUNDLE", "ca_bundle"), ("DSTACK_DEFAULT_IMAGE", "default_image")):
        if environment.get(name):
            raw[key] = environment[name]
    try:
        return Configuration.model_validate(raw)
    except ValidationError as error:
        where = source.path if source else "the environment"
        lines = [_sentence(item) for item in error.errors()]
        raise errors.ConfigurationError(f"{where}: {'; '.join(lines)}", "mend that, then try again") from None


def _sentence(item: ErrorDetails) -> str:
    place, message = ".".join(str(part) for part in item["loc"]), item["msg"].removeprefix("Value error, ")
    if item["type"] != "extra_forbidden":
        return f"`{place}`: {message}" if place else message
    key = str(item["loc"][-1])
    known = ProjectSettings.model_fields if len(item["loc"]) > 1 else Configuration.model_fields
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"`{place}` is an unknown key ({f'did you mean `{near[0]}`?' if near else 'there are: ' + ', '.join(known)})"


def _load(source: Source) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(source.text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source.path}:{mark.line + 1}:{mark.column + 1}" if mark else source.path
        problem = getattr(error, "problem", None) or "a character that can't be there"
        raise errors.ConfigurationError(f"{place}: this isn't YAML: {problem}", "mend that, then try again") from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise errors.ConfigurationError(f"{source.path} must be a mapping, with `projects:` at its root")
    return raw
