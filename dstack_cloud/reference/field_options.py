"""`cli/field_options.py`: what `dstack run PROVIDER` needs of the model of a workflow, without the time that importing it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dstack_cloud.domain.descriptions import first_sentence
from dstack_cloud.domain.parsing.model import Body, Resources

FILE = "dstack_cloud/cli/field_options.py"

# the fields that are no options of their own, and why
NO_OPTION: Mapping[str, str] = {
    "name": "the workflow has the provider's",
    "help": "nobody lists it",
    "provider": "the word behind `run`",
    "env": "`-e`",
    "registry_auth": "a mapping",
    "resources": "each of its fields is one",
    "resources.gpu": "`--gpu`",
    "resources.interruptible": "older than `--spot`",
    "resources.spot_policy": "`--spot`",
    "resources.max_price": "`--max-price`",
    "resources.backends": "`--backend`",
    "schedule": "for later",
    "sweep": "for later",
}
# one string is the whole of it, not one of a list
_ONE_TEXT = ("commands", "setup", "entrypoint")

_MODULE = '''\
"""The fields of a workflow that are options of `dstack run PROVIDER`. Written by `make docs` from domain/parsing/model.py: change it there."""

from __future__ import annotations

# field → what it is; those of `resources` are named with it
FIELDS = {{
{fields}
}}
# an option may be given again for another value
LISTS = ({lists})
# read as such where they are whole numbers or flags; every other value is a text
PLAIN = ({plain})
'''


def module() -> str:
    fields = {name: shape for name, shape in _fields() if name not in NO_OPTION}
    lists = [name for name, shape in fields.items() if "array" in _types(shape) and name not in _ONE_TEXT]
    plain = [name for name, shape in fields.items() if "integer" in _types(shape) and name not in lists]
    said = {name: first_sentence(shape["description"]) for name, shape in fields.items()}
    return _MODULE.format(
        fields="\n".join(f"    {_quoted(name)}: {_quoted(text)}," for name, text in said.items()),
        lists=", ".join(map(_quoted, lists)),
        plain=", ".join(map(_quoted, plain)),
    )


def _fields() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, shape in Body.model_json_schema()["properties"].items():
        yield name, shape
        if name == "resources":
            inner = Resources.model_json_schema()["properties"]
            yield from ((f"resources.{each}", inner[each]) for each in inner)


def _types(shape: Mapping[str, Any]) -> set[str]:
    given = shape.get("type", [])
    inner = [_types(each) for each in shape.get("anyOf", ())]
    return set().union([given] if isinstance(given, str) else given, *inner)


def _quoted(text: str) -> str:
    """As the formatter would write it."""
    return f"'{text}'" if '"' in text else f'"{text}"'
