"""`dstack init`: lets jobs reach a private Git remote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, application, takes
from dstack_cloud.cli.values import read_value
from dstack_cloud.client import Client, provenance
from dstack_cloud.domain.git import server_of, without_credentials
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RemoteView

app = application()

Key = Annotated[Path | None, typer.Option(metavar="PATH", show_default=False, help="For a remote reached by SSH.")]
Token = Annotated[
    str | None,
    typer.Option(metavar="TOKEN", show_default=False, help="For one reached by HTTPS; `-`: asks, or reads stdin."),
]
Remote = Annotated[
    str,
    typer.Option(metavar="URL", show_default=False, help="Which. By default the one that this branch is pushed to."),
]
Username = Annotated[
    str, typer.Option(metavar="NAME", show_default=False, help="Beside a token, where the server cares.")
]


class Options(NamedTuple):
    private_key: Key = None
    token: Token = None
    remote: Remote = ""
    username: Username = ""
    delete: Annotated[bool, typer.Option("--delete", help="Forget its credential.")] = False
    as_json: AsJson = False


@app.command()
@takes(Options)
def init(context: typer.Context, options: Options) -> None:
    """Let jobs reach a private Git remote with a key or a token of its own. Without options: what there is."""
    given = [options.private_key is not None, options.token is not None, options.delete]
    if sum(given) > 1:
        raise UsageError("which of them?", "say one of --private-key, --token and --delete")
    client, remote = Client(), options.remote or provenance.remote_of(Path.cwd())
    if not any(given):
        _show(client.remotes(), remote, as_json=options.as_json)
        return
    if not remote:
        raise UsageError(
            "there is no Git remote here", "call it in a repository that has one, or name one with --remote"
        )
    plain = without_credentials(remote)
    if options.delete:
        client.delete_remote(plain)
        print(f"forgot the credential for {plain}")
        return
    _put(client, plain, options)
    print(f"jobs that start from now on can reach {plain}")


def _put(client: Client, remote: str, options: Options) -> None:
    server = server_of(remote)
    if options.private_key is not None:
        secret, kind = _read_key(options.private_key), "key"
    else:
        given = None if options.token == "-" else options.token  # noqa: S105 - that is where it comes from
        secret, kind = read_value("Token", given, "dstack init --token -"), "token"
    hosts = _known_hosts(server.host, server.port) if server.kind == "key" else ""
    client.put_remote(
        {"remote": remote, "kind": kind, "secret": secret, "username": options.username, "known_hosts": hosts}
    )


def _read_key(path: Path) -> str:
    try:
        return path.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it isn't a text"
        raise UsageError(
            f"the key {path} can't be read: {what}", "name the private file, the one without `.pub`"
        ) from error


def _known_hosts(host: str, port: int) -> str:
    """The lines by which this user knows the server; "" where there are none."""
    name = f"[{host}]:{port}" if port not in (0, 22) else host
    lines: list[str] = []
    for file in (Path.home() / ".ssh" / "known_hosts", Path("/etc/ssh/ssh_known_hosts")):
        try:
            command = ["ssh-keygen", "-F", name, "-f", str(file)]
            found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError as error:
            raise UsageError("`ssh-keygen` isn't installed here", "install OpenSSH's client") from error
        lines += [line for line in found.splitlines() if line and not line.startswith("#")]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def _show(found: list[RemoteView], remote: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    if found:
        rows = [[each["remote"], each["kind"], output.age(each["updated_at"])] for each in found]
        output.print_drawn(output.table(("REMOTE", "CREDENTIAL", "UPDATED"), rows))
    plain = without_credentials(remote)
    if not remote:
        print("there is no Git remote here", file=sys.stderr)
    elif plain not in [each["remote"] for each in found]:
        try:
            option = "--private-key PATH" if server_of(plain).kind == "key" else "--token -"
        except UsageError as error:
            print(error.summary, file=sys.stderr)
            return
        print(f"jobs have no credential for {plain}; where it is private: `dstack init {option}`", file=sys.stderr)
