"""The model of a workflow in one dialect: what every spelling of a file is read into.

Each field's reader (`values`, `shapes`) does the checking; the annotations also say what the JSON Schema allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dstack_cloud.domain.jobs import PortMapping
from dstack_cloud.domain.parsing import shapes, sweeps, values
from dstack_cloud.domain.parsing.dependencies import dependencies
from dstack_cloud.domain.parsing.source import Scalar
from dstack_cloud.domain.resources import Frozen, SpotPolicy

_TEXT = {"type": ["string", "number", "boolean"]}
_STRING = {"type": "string", "minLength": 1}
_STRINGS = {"type": "array", "items": _STRING}
_QUANTITY = {"type": ["string", "integer"]}
_STRING_OR_LIST = {"anyOf": [_STRING, {"type": "array", "items": _TEXT}]}


def _or_variable(pattern: str) -> str:
    return rf"^\s*{pattern}\s*$|\$\{{\{{|\$[A-Za-z_]"


def _whole(least: int, pattern: str = r"^\s*[0-9]+\s*$") -> dict[str, Any]:
    """A number, also between quotes."""
    return {"type": ["integer", "string"], "minimum": least, "pattern": pattern}


@dataclass(frozen=True)
class Also:
    """Shapes that the reader takes beside the annotated type's own, for the JSON Schema. `lone`: one of a list, too."""

    shapes: tuple[dict[str, Any], ...] = ()
    lone: bool = False

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        own = handler(schema)
        return {"anyOf": [*self.shapes, own, *([own["items"]] if self.lone else [])]}


Text = Annotated[str, BeforeValidator(values.text), WithJsonSchema(_TEXT)]
Word = Annotated[str, BeforeValidator(values.word), WithJsonSchema(_STRING)]
Flag = Annotated[bool, BeforeValidator(values.flag), WithJsonSchema({"type": "boolean"})]
Size = Annotated[
    int,
    BeforeValidator(values.size),
    WithJsonSchema({"type": "string", "pattern": _or_variable(r"[0-9.]+\s*[A-Za-z]+")}),
]
Duration = Annotated[int, BeforeValidator(values.duration), WithJsonSchema(_QUANTITY)]
Count = Annotated[int, BeforeValidator(values.whole(1, 100_000)), WithJsonSchema(_whole(1))]
Cores = Annotated[int, BeforeValidator(values.whole(1, 100_000)), WithJsonSchema(_whole(1, _or_variable("[0-9]+")))]
GpuCount = Annotated[
    int, BeforeValidator(values.whole(0, shapes.MOST_GPUS)), WithJsonSchema(_whole(0, _or_variable("[0-9]+")))
]
Nodes = Annotated[int, BeforeValidator(values.whole(1, 1000)), WithJsonSchema(_whole(1))]
Price = Annotated[
    float,
    BeforeValidator(values.price),
    WithJsonSchema({"type": ["number", "string"], "minimum": 0, "pattern": _or_variable(r"[0-9]+(\.[0-9]+)?")}),
]
Name = Annotated[
    str,
    BeforeValidator(values.name),
    WithJsonSchema({"type": ["string", "number"], "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"}),
]
# which ones there are, `schema` says
ProviderName = Annotated[str, BeforeValidator(values.provider), WithJsonSchema(_STRING)]
Python = Annotated[
    str, BeforeValidator(values.python), WithJsonSchema({"anyOf": [{"enum": list(values.PYTHONS)}, {"type": "number"}]})
]
Commands = Annotated[tuple[str, ...], BeforeValidator(shapes.commands), WithJsonSchema(_STRING_OR_LIST)]
Entrypoint = Annotated[str | tuple[str, ...], BeforeValidator(shapes.entrypoint), WithJsonSchema(_STRING_OR_LIST)]
Env = Annotated[
    dict[str, str | None],
    BeforeValidator(shapes.env),
    WithJsonSchema(
        {
            "anyOf": [
                _STRINGS,
                {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
            ]
        }
    ),
]
Ports = Annotated[
    tuple[PortMapping, ...],
    BeforeValidator(shapes.ports),
    WithJsonSchema({"anyOf": [_QUANTITY, {"type": "array", "items": _QUANTITY}]}),
]
Words = Annotated[
    tuple[str, ...],
    BeforeValidator(shapes.listed(values.word, "a list of names")),
    WithJsonSchema({"anyOf": [_STRING, _STRINGS]}),
]
InsidePath = Annotated[str, BeforeValidator(values.path(values.inside)), WithJsonSchema(_STRING)]
AbsolutePath = Annotated[str, BeforeValidator(values.path(values.absolute)), WithJsonSchema(_STRING)]
SavedPathText = Annotated[str, BeforeValidator(values.path(values.inside_or_home)), WithJsonSchema(_STRING)]
Cron = Annotated[str, BeforeValidator(shapes.cron), WithJsonSchema(_STRING)]


_SAVED = "A file or folder below the working folder, or `~/…` in the job's home folder."


class Artifact(Frozen):
    """A path that is saved when the job ends."""

    path: SavedPathText = Field(description=_SAVED)
    mount: Flag = Field(False, description="Save it every 15 seconds while the job runs, too.")


class CachePath(Frozen):
    """A path that is kept between runs of the workflow."""

    path: SavedPathText = Field(description=_SAVED)


class Gpu(Frozen):
    """The GPUs that the machine must have."""

    name: Text | None = Field(None, description="Part of the model's name, such as `V100`.")
    count: GpuCount = Field(1, description="How many.")
    memory: Size | None = Field(None, description="Memory of each, such as `16GB`.")


class Resources(Frozen):
    """What the machine must have at least. `interruptible` is read into `spot_policy` and is None afterwards."""

    cpu: Cores | None = Field(None, description="CPU cores, at least.")
    memory: Size | None = Field(None, description="Memory, at least, such as `16GB` or `16GiB`.")
    gpu: Annotated[Gpu | None, BeforeValidator(shapes.gpu), Also((_QUANTITY,))] = Field(
        None,
        description="A count, a text such as `V100`, `V100:2`, `16GB` or `A100:40GB:2`, or a mapping of name, count and memory.",
    )
    shm_size: Size | None = Field(None, description="Shared memory (`/dev/shm`) of the job, at least, such as `8GB`.")
    disk: Size | None = Field(None, description="Disk space, at least, such as `100GB`.")
    interruptible: Flag | None = Field(
        None, description="The older spelling of `spot_policy`. true is `spot`, false is `on-demand`."
    )
    spot_policy: (
        Annotated[SpotPolicy, BeforeValidator(values.choice(*(policy.value for policy in SpotPolicy)))] | None
    ) = Field(
        None, description="Spot machines, on-demand ones (so it is without it), or whichever is to be had (`auto`)."
    )
    max_price: Price | None = Field(None, description="The most to pay for one machine, USD per hour.")
    regions: Words = Field((), description="Regions to look in. All by default.")
    backends: Words = Field((), description="Backends to look in. All that are configured by default.")
    instance_types: Words = Field((), description="Instance types to choose from. All by default.")

    @model_validator(mode="before")
    @classmethod
    def _one_spot_policy(cls, value: object) -> object:
        return shapes.spot_policy(value)


class RegistryAuth(Frozen):
    """How to log in to the image's registry."""

    username: Text = Field(description="The user's name.")
    password: Text = Field(description="The password or token, such as `${{ secrets.REGISTRY_TOKEN }}`.")


class Dependency(Frozen):
    """`how`: `run` the workflow first, take the outputs of its `last` finished run, or of a `tag`."""

    how: Literal["run", "last", "tag"]
    workflow: str | None = None
    tag: str | None = None
    mount: bool = False


class Dependencies(Frozen):
    """`include` and `variables` name what of the folder and of the variables a run depends on; None: all."""

    on: tuple[Dependency, ...] = ()
    include: tuple[str, ...] | None = None
    variables: tuple[str, ...] | None = None


class Retry(Frozen):
    """For how long to go on looking for a machine."""

    duration: Duration | None = Field(None, description="For how long, such as `2h`. Without it: an hour.")


# `retry: false`: every other duration is at least a second
NO_RETRY = Retry.model_construct(duration=0)


def _retry(value: object) -> object:
    if isinstance(value, Scalar) and value.kind == "bool" and not values.flag(value):
        return NO_RETRY
    return shapes.retry(value)


class Parameter(Frozen):
    """Either `values`, or a range; texts are spelled as in the file."""

    values: tuple[str, ...] | None = None
    min: str | None = None
    max: str | None = None
    step: str | None = None
    log: bool = False


class Sweep(Frozen):
    """Runs of one workflow with different parameters."""

    method: Annotated[str, BeforeValidator(values.choice("grid", "random", "bayesian"))] = Field(
        "grid", description="How to choose trials."
    )
    parameters: Annotated[
        dict[str, Parameter], BeforeValidator(sweeps.parameters), WithJsonSchema({"type": "object"})
    ] = Field(description="Name → list of values, or a mapping of min, max, step and log.")
    trials: Count | None = Field(None, description="The most trials.")
    parallel: Count | None = Field(None, description="The most trials at once.")
    metric: Word | None = Field(None, description="The metric to judge by.")
    goal: Annotated[str, BeforeValidator(values.choice("minimize", "maximize"))] = Field(
        "minimize", description="What is good."
    )


Artifacts = Annotated[
    tuple[Annotated[Artifact, Also((_STRING,))], ...],
    BeforeValidator(shapes.path_entries),
    Also(lone=True),
]
Caches = Annotated[
    tuple[Annotated[CachePath, Also((_STRING,))], ...],
    BeforeValidator(shapes.path_entries),
    Also(lone=True),
]
Deps = Annotated[
    Dependencies,
    BeforeValidator(dependencies),
    WithJsonSchema({"type": ["string", "array", "object"], "items": {"type": ["string", "object"]}}),
]


class Body(Frozen):
    """A workflow: what runs, on what kind of machine, and what is kept of it."""

    name: Name = Field(
        description="The name to run it by. Letters, digits, `_`, `.` and `-`, at most 100; it begins with a letter, a digit or `_`."
    )
    help: Text = Field("", description="One line that `dstack run` shows beside the name.")
    provider: ProviderName | None = Field(
        None,
        description="What runs it, a built-in provider or `./FILE.py:CLASS`. Without it: `docker` where there is an image, else"
        " `bash`.",
    )
    image: Word | None = Field(None, description="The container image.")
    commands: Commands = Field(
        (),
        description="What to run: a list, or one string of any number of lines. One bash runs them, each after the one before"
        " succeeded.",
    )
    setup: Commands = Field(
        (),
        description="Commands that run once before the others, and whose result is kept and used again. A list, or one string.",
    )
    entrypoint: Entrypoint | None = Field(
        None,
        description="Replaces the image's own entrypoint. A list, or one string that is split as a shell does; needs `image`.",
    )
    env: Env = Field(
        default_factory=dict,
        description="Environment variables: a list of `K=V`, or `K` alone to take it from your environment; or a mapping, where an"
        " empty value is taken from there.",
    )
    registry_auth: RegistryAuth | None = Field(
        None, description="How to log in to the image's registry. Needs `image`."
    )
    working_dir: InsidePath = Field(".", description="Where the commands start, inside the working folder.")
    home_dir: AbsolutePath | None = Field(
        None, description="The job's home folder, which `~` in paths means. An absolute path."
    )
    python: Python | None = Field(
        None, description="The version of Python, 3.8 … 3.13. Without it: yours; it can't be chosen beside `image`."
    )
    ports: Ports = Field(
        (),
        description='Ports of the job to reach on localhost, as PORT or "APP:LOCAL". APP is the one that the program listens on,'
        " LOCAL the one on your computer.",
    )
    artifacts: Artifacts = Field(
        (), description="Paths saved when the job ends. Each is a text, or a mapping of path and mount."
    )
    cache: Caches = Field(
        (), description="Paths kept between runs of the workflow. Each is a text, or a mapping with path."
    )
    deps: Deps = Field(default_factory=Dependencies, description="Workflows and tags (`:TAG`) whose outputs it needs.")
    resources: Resources = Field(default_factory=Resources, description="What the machine must have at least.")
    max_duration: Duration | None = Field(
        None,
        description="The job is stopped after this long, such as `30m`, `1h30m`, `3d`, or a number of seconds. The running time of"
        " all attempts counts together.",
    )
    retry: Annotated[Retry | None, BeforeValidator(_retry), Also((_QUANTITY, {"type": "boolean"}))] = Field(
        None,
        description="For how long to go on looking for a machine while all offers are refused for capacity or quota. true is an"
        " hour. Without it each offer is tried once, and a job that lost its machine goes on looking for an hour. false: a job"
        " that has begun isn't begun again either: it has failed where its machine is lost or taken back.",
    )
    schedule: Cron | None = Field(
        None,
        description="A cron expression of five parts, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`: when to run it.",
    )
    nodes: Nodes = Field(1, description="How many machines run it together, 1 to 1000.")
    sweep: Sweep | None = Field(None, description="Runs it with different parameters.")


class Workflow(Body):
    """A workflow as read from line `line` of `file`. `provider` is never None; `options` are fields of its provider only; `lines`
    says where each field stands. `deferred`: by place, what can't be read before the variables' values are known, as it stands there."""

    provider: str
    file: str = ""
    line: int = 0
    lines: dict[str, int] = Field(default_factory=dict)
    deferred: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)


class WorkflowsFile(Frozen):
    """`.dstack/workflows.yaml`, or a file in `.dstack/workflows`."""

    workflows: tuple[Body, ...] | Body = Field(description="The workflows of this file.")


# the models behind a field's mapping, to name the right fields where one is misspelled
SECTIONS: dict[str, type[Frozen]] = {
    "artifacts": Artifact,
    "cache": CachePath,
    "gpu": Gpu,
    "resources": Resources,
    "registry_auth": RegistryAuth,
    "retry": Retry,
    "sweep": Sweep,
}
