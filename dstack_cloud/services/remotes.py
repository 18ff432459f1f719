"""Credentials for private Git remotes. No answer has one."""

from __future__ import annotations

import json
from dataclasses import asdict

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.domain.git import Credential, Login, server_of, without_credentials
from dstack_cloud.services.context import Context
from dstack_cloud.ssh import private_keys

# what GitHub, GitLab and others take beside a token
USERNAME = "x-access-token"


def list_remotes(context: Context, project: str) -> list[schemas.RemoteView]:
    context.project(project)
    found = context.world.database.credentials.of_project(project)
    return [
        {"remote": each.remote, "kind": server_of(each.remote).kind, "updated_at": each.updated_at} for each in found
    ]


def put(context: Context, project: str, request: schemas.RemoteRequest) -> None:
    """Raises UsageError, without the credential, for one that can't be used there, Conflict for a second one of a server."""
    context.project(project)
    remote = without_credentials(request["remote"])
    server, secret = server_of(remote), request["secret"]
    if server.kind != request["kind"]:
        right = "--private-key" if server.kind == "key" else "--token"
        raise errors.UsageError(
            f"{remote} is reached by {server.scheme}, which takes no {request['kind']}", f"use {right}"
        )
    if server.kind == "key":
        _check_key(secret)
        if not request["known_hosts"].strip():
            raise errors.UsageError(
                f"the host key of {server.host} isn't known",
                "connect once with `ssh`, so that it is in ~/.ssh/known_hosts",
            )
    elif not secret or any(char in secret for char in "\0\r\n"):
        raise errors.UsageError("a token is one line, and not empty", None)
    _refuse_second(context, project, remote)
    login = Login(secret, request["username"] or USERNAME, request["known_hosts"])
    sealed = context.sealer.seal_secret(json.dumps(asdict(login)))
    context.world.database.credentials.put(Credential(project, remote, sealed, context.world.clock()))


def _refuse_second(context: Context, project: str, remote: str) -> None:
    """A program that asks for a login names the server, not the repository. Raises Conflict."""
    for each in context.world.database.credentials.of_project(project):
        known, wanted = server_of(each.remote), server_of(remote)
        if each.remote != remote and (known.kind, known.host) == (wanted.kind, wanted.host):
            raise errors.Conflict(
                f"the project has a credential for {known.host} already, that of {each.remote}, and jobs would be given only one",
                f"if it opens both, nothing has to be done; else `dstack init --remote {each.remote} --delete` first",
            )


def delete(context: Context, project: str, remote: str) -> None:
    """Raises NotFound."""
    context.project(project)
    plain = without_credentials(remote)
    if not context.world.database.credentials.delete(project, plain):
        raise errors.NotFound(f"there is no credential for {plain}", "`dstack init` lists those that there are")


def _check_key(text: str) -> None:
    try:
        private_keys.load(text)
    except private_keys.KeyRefused as error:
        what = error.summary.replace("the client key", "the key")
        raise errors.UsageError(
            what, "jobs need a key of their own: `ssh-keygen -N '' -f FILE`, and its public part at the remote"
        ) from error
