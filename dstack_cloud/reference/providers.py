"""The built-in providers, as their classes declare them."""

from __future__ import annotations

from collections.abc import Iterator

from dstack_cloud.domain.parsing.known import DESCRIBED
from dstack_cloud.providers.description import Description
from dstack_cloud.providers.options import Option
from dstack_cloud.reference.tables import table

_KINDS = {"path": "a path", "text": "a text", "words": "a list, or one string"}


def overview() -> str:
    return table(
        ("provider", "what it runs"), [(f"[`{name}`](#{name})", each.summary) for name, each in DESCRIBED.items()]
    )


def sections() -> str:
    return "\n".join(line for each in DESCRIBED.values() for line in _section(each))


def _section(each: Description) -> Iterator[str]:
    yield from (f"## {each.name}", "", each.summary, "")
    yield from ("```yaml", "workflows:", f"  - name: my-{each.name}", f"    provider: {each.name}")
    yield from (f"    {line}" for line in each.example.splitlines())
    yield from ("```", "")
    if each.options:
        rows = [_row(name, option) for name, option in each.options.items()]
        yield from (table(("option", "value", ""), rows), "")
    notes = list(_notes(each))
    if notes:
        yield from (" ".join(notes), "")


def _row(name: str, option: Option) -> tuple[str, str, str]:
    also = f" ({', '.join(f'`{spelled}`' for spelled in option.also)})" if option.also else ""
    needed = "Required. " if option.required else ""
    return f"`{name}`{also}", _KINDS[option.kind], f"{needed}{option.description}"


def _notes(each: Description) -> Iterator[str]:
    if each.needs:
        yield f"Needs {', '.join(f'`{field}`' for field in each.needs)}."
    if each.port is not None:
        yield f"Its port is {each.port}."
    for spelled, name in each.synonyms.items():
        yield f"`{spelled}` is another spelling of `{name}`."
