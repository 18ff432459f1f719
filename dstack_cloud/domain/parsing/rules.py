"""What must hold between the fields of a workflow. Each rule looks at what is there, so it also speaks where a value is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dstack_cloud.domain.interpolation import may_be_variable, references, refusal
from dstack_cloud.domain.parsing.problems import Finding, Path, shown
from dstack_cloud.domain.parsing.source import Fields, Items, Scalar, Tree
from dstack_cloud.domain.secrets import FIELDS, name_in
from dstack_cloud.domain.shell import is_unfinished
from dstack_cloud.domain.variables import KNOWN_NAMES
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.base import RUNNING_FIELDS
from dstack_cloud.providers.description import Description

# what to write where a field is missing
_HINTS = {
    "commands": "say what to run, or give an `image`",
    "image": "name one, such as `image: python:3.11`",
}


def broken_rules(common: Fields, options: Fields, described: Description) -> Iterator[Finding]:
    """Findings about a workflow whose fields are spelled as in `Body`, and as its provider declares them."""
    if described.name:
        yield from _provider_rules(common, options, described)
    yield from _image_rules(common)
    resources = common.get("resources")
    if isinstance(resources, Fields) and "interruptible" in resources and "spot_policy" in resources:
        text = "says the same as `resources.spot_policy`, which is there too"
        yield Finding(("resources", "interruptible"), text, "keep `spot_policy`", on_key=True)
    for field in ("artifacts", "cache"):
        yield from _repeated_paths(field, common.get(field))
    yield from _unfinished_commands(common.get("commands"))


def _unfinished_commands(commands: Tree | None) -> Iterator[Finding]:
    """Each item is a command of its own: what begins in one and ends in another would be read together with what lies between."""
    for index, item in enumerate(commands[:-1] if isinstance(commands, Items) else ()):
        if isinstance(item, Scalar) and is_unfinished(item):
            text = "ends in the middle of a quote, a here-document or a line, and each item is a command of its own"
            yield Finding(("commands", index), text, "write the whole as one item: `- |`, and the lines below it")


def provider_of(common: Fields) -> str:
    """The provider named, or the one that stands for none."""
    given = common.get("provider")
    if isinstance(given, Scalar) and given.kind != "null":
        return str(given)
    image = common.get("image")
    return "bash" if image is None or (isinstance(image, Scalar) and image.kind == "null") else "docker"


def bad_references(tree: Tree, at: Path = (), *, variables: Collection[str] | None) -> Iterator[Finding]:
    """`${{ }}` that can't be resolved, wherever they stand. `variables`: those that the workflow sees; None: that isn't known."""
    if isinstance(tree, Fields):
        for key, value in tree.items():
            yield from bad_references(value, (*at, key), variables=variables)
    elif isinstance(tree, Items):
        for index, item in enumerate(tree):
            yield from bad_references(item, (*at, index), variables=variables)
    elif "${{" in tree:
        for name in references(tree):
            error = refusal(name, [*(variables or ()), *KNOWN_NAMES])
            waits = variables is None and name is not None and may_be_variable(name)
            secret = at[:1] and at[0] in FIELDS and name_in(name)
            if isinstance(error, ConfigurationError) and not waits and not secret:
                yield Finding(at, f"can't be filled in: {error.summary}", error.hint)


def _provider_rules(common: Fields, options: Fields, described: Description) -> Iterator[Finding]:
    needed = f"which provider {described.name} needs"
    for field in described.needs:
        if field not in common:
            yield Finding((), f"has no `{field}`, {needed}", _HINTS.get(field, f"add `{field}:`"))
    for name, option in described.options.items():
        if option.required and name not in options:
            yield Finding((), f"has no `{name}`, {needed}", f"add `{name}:`: {option.description}")
    for field in RUNNING_FIELDS:
        if field in common and field not in described.takes and not _is_one_node(field, common[field]):
            hint = "remove it, or use provider bash or docker"
            yield Finding((field,), f"has no meaning with provider {described.name}", hint, on_key=True)


def _is_one_node(field: str, value: Tree) -> bool:
    """As every job has."""
    return field == "nodes" and isinstance(value, Scalar) and value == "1"


def _image_rules(common: Fields) -> Iterator[Finding]:
    if "image" in common and "python" in common:
        yield Finding(
            ("python",), "can't be chosen beside `image`, which brings its own", "remove one of them", on_key=True
        )
    if "image" not in common:
        for field in ("entrypoint", "registry_auth"):
            if field in common:
                yield Finding((field,), "has no meaning without `image`", "name the image, or remove it", on_key=True)


def _repeated_paths(field: str, value: Tree | None) -> Iterator[Finding]:
    seen: list[str] = []
    for index, item in enumerate(value if isinstance(value, Items) else ()):
        path = item.get("path") if isinstance(item, Fields) else item
        if not isinstance(path, Scalar):
            continue
        normal = path.removeprefix("./").rstrip("/")
        if normal in seen:
            yield Finding((field, index), f"is there twice: {shown(path)}", "remove one of them")
        seen.append(normal)
        if field == "cache" and normal in (".", ""):
            yield Finding(
                (field, index), "is the whole working folder", "name the folders in it that are worth keeping"
            )
