"""What `dstack run PROVIDER -h` says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from dstack_cloud.cli.field_options import FIELDS
from dstack_cloud.cli.provider_words import SHORT, option_of, usage
from dstack_cloud.providers.base import RUNNING_FIELDS
from dstack_cloud.providers.description import describe
from dstack_cloud.providers.registry import PROVIDERS

WIDTH = 100  # as typer's own help


def page(name: str) -> str:
    described = describe(PROVIDERS[name])
    head = f"{name}: {described.summary}\n\nUsage: dstack run {name} {usage(described)}"
    own = [(option, declared.description) for option, declared in described.options.items()]
    common = [
        (field, text) for field, text in FIELDS.items() if field not in RUNNING_FIELDS or field in described.takes
    ]
    parts = [head, *(["Options of " + name + ":\n" + "\n".join(_rows(own))] if own else [])]
    return "\n\n".join([*parts, "Options of every workflow:\n" + "\n".join(_rows(common)), _END])


def _rows(options: list[tuple[str, str]]) -> Iterator[str]:
    short = {field: letter for letter, field in SHORT.items()}
    names = [f"{short.get(name, '  ')} {option_of(name)}" for name, _ in options]
    width = max(map(len, names))
    for name, (_, text) in zip(names, options, strict=True):
        head = f"  {name:<{width}}  "
        yield textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


_END = """\
dstack's own options (`dstack run -h`) stand before or behind the name, too. What is no option is for the program, and so is all
behind `--`. A workflow of the same name is run instead."""
