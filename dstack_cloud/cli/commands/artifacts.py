"""`dstack artifacts`: what a run saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dstack_cloud.cli import output
from dstack_cloud.cli.application import AsJson, application
from dstack_cloud.cli.extraction import extract
from dstack_cloud.client import Client
from dstack_cloud.errors import NotFound, UsageError

SUBCOMMANDS = ("ls", "cp", "download", "upload")
DEFAULT = "ls"

app = application("List and download what a run saved. `dstack artifacts RUN` is short for `dstack artifacts ls RUN`.")

RunOrJob = Annotated[
    str,
    typer.Argument(
        metavar="RUN|JOB|:TAG", show_default=False, help="A run, one of its jobs, or a tag: :TAG, WORKFLOW:TAG."
    ),
]
Target = Annotated[Path, typer.Argument(metavar="TO", show_default=False, help="A folder; made if it isn't there.")]


@app.command()
def ls(
    run: RunOrJob,
    prefix: Annotated[
        str, typer.Argument(metavar="PATH", show_default=False, help="Only what is there or below.")
    ] = "",
    sizes: Annotated[bool, typer.Option("-t", "--total", help="With sizes, and their total.")] = False,
    to: Annotated[Path | None, typer.Option("--output", metavar="FOLDER", help="Download to there instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the artifacts of a run or job."""
    client = Client()
    if to is not None:
        _download(client, run, prefix, to)
        return
    wanted = prefix.rstrip("/")
    found = [a for a in client.artifacts(run) if not wanted or f"{a['path']}/".startswith(f"{wanted}/")]
    if as_json:
        output.print_json(found)
        return
    if not found:
        raise NotFound(
            f"{run} has no artifacts{f' at {prefix}' if prefix else ''}", "`dstack ps -v` shows how it ended"
        )
    several = len({artifact["job"] for artifact in found}) > 1
    for artifact in found:
        name = f"{artifact['job']}:{artifact['path']}" if several else artifact["path"]
        name += "/" if artifact["kind"] == "dir" else ""
        print(f"{output.size(artifact['size']):>10}  {name}" if sizes else name)
    if sizes:
        files = sum(artifact["kind"] == "file" for artifact in found)
        print(f"{output.size(sum(a['size'] for a in found)):>10}  in {output.count(files, 'file')}")


@app.command()
def cp(
    run: RunOrJob, path: Annotated[str, typer.Argument(help="An artifact, or a folder of them.")], to: Target
) -> None:
    """Download one artifact, or a folder of them."""
    _download(Client(), run, path, to)


@app.command()
def download(run: RunOrJob, to: Target = Path()) -> None:
    """Download all artifacts of a run or job, to the current folder or to TO."""
    _download(Client(), run, "", to)


@app.command()
def upload(
    path: Annotated[Path, typer.Argument(metavar="PATH", show_default=False, help="A file or a folder.")],
    tag: Annotated[str, typer.Option("-t", "--tag", metavar="TAG", show_default=False, help="What others call it by.")],
    name: Annotated[
        str,
        typer.Option(metavar="NAME", show_default=False, help="In place of a workflow's. By default PATH's last part."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Keep a file or folder as the artifacts of a finished run, for others to depend on."""
    from dstack_cloud.client.uploading import tar

    place = path.expanduser().absolute()
    if not place.exists():
        raise UsageError(f"there is no {path}", "name a file or a folder")
    if not place.is_file() and not place.is_dir():
        raise UsageError(f"{path} is neither a file nor a folder", "name a file or a folder")
    if not tag:
        raise UsageError("the tag is empty", "say --tag TAG")
    last = place.resolve().name if path.name in ("", ".", "..") else place.name
    # a link that was named stands for what it leads to; those below it stay links
    run = Client().upload(tar(place.resolve(), last), name=name or last, tag=tag, path=last)
    if as_json:
        output.print_json(run)
    else:
        print(f"{run['name']}: {run['workflow']}:{run['tag']}")


def _download(client: Client, run: str, path: str, to: Path) -> None:
    result = extract(client.archive(run, path.rstrip("/") or None), to)
    for warning in result.warnings:
        output.warn(warning)
    print(f"{output.count(result.files, 'file')}, {output.size(result.size)}, in {to}")
