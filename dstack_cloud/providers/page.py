"""The page of the documentation about providers: `python -m dstack_cloud.providers.page > docs/reference/providers.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dstack_cloud.providers.description import Description, describe
from dstack_cloud.providers.options import Option
from dstack_cloud.providers.registry import PROVIDERS

_KINDS = {"path": "a path", "text": "a text", "words": "a list, or one string"}

_BEGINNING = """\
# Providers

<!-- Written by `make docs` from dstack_cloud/providers: change it there. -->

A provider is the kind of program that a workflow runs. `provider:` names it; without it, it is `docker` where the workflow has an
`image`, else `bash`. Each has options of its own, which stand beside [the fields of every workflow](workflows.md). `dstack validate`
says where one is missing, misspelled, or has no meaning with that provider; `dstack run WORKFLOW -h` lists them. You can
[write one of your own](own-providers.md).

Options are filled in as everything else is: `${{ run.args }}` in `args` stays one word for each argument. No shell reads them: `$HOME`
in `args` reaches the program as these five characters.

**Python packages.** `requirements` is installed first, then what the provider itself needs and doesn't find (`jupyterlab`, `streamlit`,
…), from the registry that pip is configured for. In a container that is the container's Python; without one, the job gets an
environment of its own, which sees the packages of this computer's Python, and of the virtual environment that was active when the
server started, and changes none of them. An `image` must have Python and pip.
That is part of the job's [setup](workflows.md#setup): it happens once, later jobs begin at once, and `dstack run --rebuild` fetches
newer versions.
`code` gets Node so, and VS Code from the registry that npm is configured for.

**Ports.** A program that a browser opens has a port. `ports` of the workflow may choose another: the first port there is the program's,
`"APP:LOCAL"` also the one on your computer. The address is printed once the program answers. Where the program asks for a token, a
random one is made for each run; it is part of the printed address, and of nothing else that is shown or kept in plain. To choose one,
set `JUPYTER_TOKEN` (`lab`, `notebook`) or `VSCODE_TOKEN` (`code`) in `env`. The programs listen on 127.0.0.1 of the job; `DSTACK_LISTEN` holds another address in
containers whose ports only the engine leads to (Docker without root). The other programs ask for no token: who can open a port of this
computer can use them.

**Several machines.** `nodes` has a meaning with `bash`, `docker`, `python`, `torchrun`, `ray` and `ssh`. With `ray` the first node begins the
cluster and runs the workflow, with `RAY_ADDRESS` in its environment; the others join it, and end when it does. Ray asks for no password: who
reaches the machines' private network (with processes on this computer: its network) can use the cluster while it runs.
"""


def page() -> str:
    described = [describe(provider) for provider in PROVIDERS.values()]
    return "\n".join([_BEGINNING, *_table(described), *(line for each in described for line in _section(each))])


def _table(described: Iterable[Description]) -> Iterator[str]:
    yield from ("| provider | what it runs |", "| --- | --- |")
    for each in described:
        yield f"| [`{each.name}`](#{each.name}) | {each.summary} |"
    yield ""


def _section(each: Description) -> Iterator[str]:
    yield from (f"## {each.name}", "", each.summary, "")
    yield from ("```yaml", "workflows:", f"  - name: my-{each.name}", f"    provider: {each.name}")
    yield from (f"    {line}" for line in each.example.splitlines())
    yield from ("```", "")
    if each.options:
        yield from ("| option | value | |", "| --- | --- | --- |")
        yield from (_row(name, option) for name, option in each.options.items())
        yield ""
    notes = list(_notes(each))
    if notes:
        yield from (" ".join(notes), "")


def _row(name: str, option: Option) -> str:
    also = f" ({', '.join(f'`{spelled}`' for spelled in option.also)})" if option.also else ""
    needed = "Required. " if option.required else ""
    return f"| `{name}`{also} | {_KINDS[option.kind]} | {needed}{option.description} |"


def _notes(each: Description) -> Iterator[str]:
    if each.needs:
        yield f"Needs {', '.join(f'`{field}`' for field in each.needs)}."
    if each.port is not None:
        yield f"Its port is {each.port}."
    for spelled, name in each.synonyms.items():
        yield f"`{spelled}` is another spelling of `{name}`."


def main() -> None:
    print(page(), end="")


if __name__ == "__main__":
    main()
