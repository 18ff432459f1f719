"""`dstack config`: the configuration, made, changed, shown and checked."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, Yes, application
from dstack_cloud.cli.configuring import Words, go_through, known_project, tell, up_to_date, warn_of_nothing
from dstack_cloud.cli.failures import say
from dstack_cloud.client import Client
from dstack_cloud.domain.spelling import unknown
from dstack_cloud.errors import NotAvailableYet, NotFound, UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.configuration import BackendView, ConfigurationView, ProjectView
    from dstack_cloud.api.schemas import FindingView

SUBCOMMANDS = ("edit", "list", "use", "delete", "permissions", "check", "path")
DEFAULT, ALONE = "edit", True
# of a team's server
LATER = ("--url", "--token")
COLUMNS = ("PROJECT", "BACKEND", "CREDENTIAL", "SETTINGS", "STORE")

app = application("Make, change, show and check the configuration, DSTACK_HOME/config.yaml.")

Project = Annotated[
    str, typer.Option("--project", metavar="NAME", show_default=False, help="Which; by default the one that is in use.")
]
Store = Annotated[
    str | None,
    typer.Option(metavar="URL", show_default=False, help="s3://bucket/folder …, or `local` for a folder here."),
]
StoreOptions = Annotated[
    list[str] | None,
    typer.Option("--store-option", metavar="NAME=VALUE", show_default=False, help="What its URL can't say: region=…"),
]
Defaults = Annotated[bool, typer.Option("-y", "--yes", help="Ask nothing: what was found, else the defaults.")]


def arrange(_command: object, args: list[str], rest: list[str]) -> tuple[list[str], list[str]]:
    """All words as they are. Raises NotAvailableYet; what they hold may be secret, so it isn't told."""
    for word in args:
        name = word.partition("=")[0]
        if name in LATER:
            text = f"`dstack config {name}` is not available yet: there are no team servers"
            raise NotAvailableYet(text, "leave it out: dstack starts a server of its own on this computer")
    return args, rest


@app.callback()
def config() -> None:
    """Make, change, show and check the configuration. Alone: find credentials, ask for the rest, write it."""


@app.command()
def edit(
    project: Project = "",
    backend: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", show_default=False, help="Where workflows run; may be given again."),
    ] = None,
    store: Store = None,
    store_option: StoreOptions = None,
    yes: Defaults = False,
) -> None:
    """Find the credentials on this computer, ask what is missing, write the file. What `dstack config` alone does."""
    go_through(Words(project, tuple(backend or ()), store, tuple(store_option or ()), yes))


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List projects and their backends, and where each credential comes from."""
    view = up_to_date().configuration.view()
    if as_json:
        output.print_json(view["projects"])
        return
    rows = [row for project in view["projects"] for row in _rows(project)]
    output.print_drawn(output.table(COLUMNS, rows))
    warn_of_nothing(view)


@app.command()
def use(project: Annotated[str, typer.Argument(metavar="PROJECT", show_default=False)]) -> None:
    """Choose the project that commands mean from now on (DSTACK_PROJECT overrides it)."""
    client = up_to_date()
    tell(client, client.configuration.choose_default(project))
    print(f"commands are about project {project} from now on")


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="PROJECT|BACKEND", show_default=False)],
    project: Annotated[
        str,
        typer.Option(
            "--project", metavar="NAME", show_default=False, help="Whose backend; else NAME may be a project."
        ),
    ] = "",
    yes: Yes = False,
) -> None:
    """Take a project, or a backend of one, out of the file. Refused while something of it is unfinished."""
    view = up_to_date().configuration.view()
    owner = _owner(view, name, project)
    if owner is None:
        output.confirm(f"Take project {name} out of {view['path']}?", yes=yes)
        client = Client(project=name)
        tell(client, client.configuration.delete_project())
    else:
        output.confirm(f"Take {name} out of project {owner['name']} in {view['path']}?", yes=yes)
        client = Client(project=owner["name"])
        tell(client, client.configuration.delete_backend(name))


@app.command()
def permissions(
    backend: Annotated[str, typer.Argument(metavar="BACKEND", show_default=False)],
    project: Project = "",
    as_json: AsJson = False,
) -> None:
    """Print the least policy or role with which everything works, for the project's settings."""
    least = up_to_date(project).configuration.permissions(backend)
    if as_json:
        output.print_json(least)
        return
    print(least["document"])
    say(f"give it with: {least['apply']}")


@app.command()
def check(project: Project = "", as_json: AsJson = False) -> None:
    """Check each backend (credentials, permissions, quotas, regions) and the store. Exits with 1 where something is wrong."""
    findings = up_to_date(project).findings()
    if as_json:
        output.print_json(findings)
    else:
        for finding in findings:
            _show(finding)
    wrong = sum(not finding["ok"] for finding in findings)
    if wrong:
        say(f"{wrong} of {output.count(len(findings), 'check')} failed")
        raise typer.Exit(1)


@app.command()
def path() -> None:
    """Print where the configuration is."""
    print(Client(autostart=False).home / "config.yaml")


def _show(finding: FindingView) -> None:
    print(f"{'ok  ' if finding['ok'] else 'FAIL'}  {finding['subject']}: {finding['text']}")
    if finding["fix"] and not finding["ok"]:
        print(textwrap.indent(finding["fix"], "      "))


def _rows(project: ProjectView) -> list[list[str]]:
    name = project["name"] + (" (in use)" if project["default"] else "")
    store = project["store"] or "a folder here"
    backends = project["backends"]
    return [
        [name if number == 0 else "", _backend(each), _credential(each), _settings(each), store if number == 0 else ""]
        for number, each in enumerate(backends)
    ]


def _backend(backend: BackendView) -> str:
    return backend["name"] + ("" if backend["named"] else " (only where it is named)")


def _credential(backend: BackendView) -> str:
    if not backend["found"]:
        return f"none found: {backend['credential']}"
    return backend["credential"] or "-"


def _settings(backend: BackendView) -> str:
    """Names only, but for the regions: values may be long."""
    regions = backend["settings"].get("regions") or []
    others = [key for key in backend["settings"] if key != "regions"]
    return ", ".join([*map(str, regions), *others]) or "-"


def _owner(view: ConfigurationView, name: str, project: str) -> ProjectView | None:
    """Whose backend is meant; None where it is a project. Raises UsageError, NotFound."""
    owner = known_project(view, project)
    backends = [each["name"] for each in owner["backends"]]
    projects = [each["name"] for each in view["projects"]]
    if project:
        return owner
    if name in projects and name in backends:
        raise UsageError(
            f"{name} is a project and a backend of project {owner['name']}",
            f"--project {owner['name']} means the backend",
        )
    if name in projects:
        return None
    if name not in backends:
        raise NotFound(unknown("project or backend", name, [*projects, *backends]))
    return owner
