"""`dstack config` and `dstack aws config`, against a server that says what a test wants it to say; a person answers on stdin."""

from __future__ import annotations

import json
import os
import pty
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.unix_http import reply_json
from tests.unit.cli.conftest import Backstage, Result

Call = Callable[..., Result]
WRITTEN = {"path": "/h/config.yaml", "backup": "/h/config.yaml.bak", "changed": False, "kept": [], "notes": []}
NONE = {"question": "", "many": False, "required": False, "default": "", "of_store": False, "known": []}


def setting(key: str, **changes: Any) -> dict[str, Any]:
    option = key.replace("_", "-")
    return {"key": key, "option": option, "comment": f"about {key}", **NONE, **changes}


REGIONS = setting("regions", option="region", question="Regions", many=True, default="r-1", known=["r-1", "r-2"])
CLOUD = {"name": "aws", "title": "AWS", "scheme": "s3", "nothing": "log in", "reads": ["READ_ME"], "unused": ["KEY_ID"],
         "settings": [setting("profile", question="Profile"), REGIONS, setting("endpoint"), setting("ssh_from", many=True)]}  # fmt: skip
PAYER = setting("project_id", question="Which pays", required=True)
GCP = {**CLOUD, "name": "gcp", "title": "GCP", "scheme": "gs", "settings": [PAYER]}


def login(name: str, **changes: Any) -> dict[str, Any]:
    profile = "" if name == "default" else name
    return {
        "name": f"profile {name}", "place": "~/.aws/x", "settings": {"profile": profile}, "suggests": {},
        "preferred": name == "default", **changes,
    }  # fmt: skip


def project(name: str, *backends: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "default": True, "written": bool(backends), "store": "", "store_options": {},
        "backends": list(backends), **changes,
    }  # fmt: skip


def backend(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "named": True, "credential": "", "found": True, "settings": settings}


@pytest.fixture
def stage(server: Backstage) -> Backstage:
    show(server, project("main"))
    server.answers["POST /logins"] = {"aws": [login("default")], "gcp": []}
    server.answers["PUT /configuration"] = WRITTEN
    server.answers["POST /backends/aws/prepare"] = server.answers["POST /backends/gcp/prepare"] = {"text": ""}
    return server


def show(server: Backstage, *projects: dict[str, Any]) -> None:
    server.answers["GET /api/configuration"] = {
        "path": "/h/config.yaml", "exists": True, "projects": list(projects), "backends": ["aws", "gcp", "local"],
        "clouds": [CLOUD, GCP],
    }  # fmt: skip


@pytest.fixture
def answer() -> Iterator[Callable[..., None]]:
    """What the person at the terminal types, and then Ctrl+D."""
    ours, theirs = pty.openpty()
    before = sys.stdin

    def answers(*lines: str) -> None:
        os.write(ours, "".join(f"{line}\n" for line in lines).encode() + b"\x04")

    with open(theirs, encoding="utf-8") as sys.stdin:
        yield answers
    sys.stdin = before
    os.close(ours)


def asked(stage: Backstage) -> dict[str, Any]:
    [body] = stage.bodies("PUT /configuration")
    wanted: dict[str, Any] = body
    return wanted


def test_without_questions_it_takes_what_was_found(
    stage: Backstage, dstack: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_ID", "s3cret")
    monkeypatch.setenv("READ_ME", "value")
    code, out, err = dstack("config", "-y")
    assert (code, out) == (0, "/h/config.yaml says that already\n")
    assert asked(stage) == {
        "backends": ["aws"], "store": "", "store_options": {}, "settings": {"aws": {"regions": ["r-1"]}},
    }  # fmt: skip
    assert "aws  found: profile default (~/.aws/x)\n" in err
    assert "gcp  not found: log in\n" in err
    assert "not used: KEY_ID of this shell" in err
    assert stage.bodies("POST /logins") == [{"environment": {"READ_ME": "value", "KEY_ID": ""}}]


def test_only_what_must_be_is_asked(stage: Backstage, dstack: Call, answer: Callable[..., None]) -> None:
    answer("", "s3://b/x", "r-2, r-1")
    code, _, err = dstack("config")
    assert code == 0, err
    assert err.count("]: ") == 3
    assert asked(stage)["settings"] == {"aws": {"regions": ["r-2", "r-1"]}}
    assert (asked(stage)["backends"], asked(stage)["store"]) == (["aws"], "s3://b/x")


def test_a_slip_is_told_with_the_nearest_spelling_and_asked_again(
    stage: Backstage, dstack: Call, answer: Callable[..., None]
) -> None:
    stage.answers["POST /logins"]["aws"].append(login("work"))
    answer("asw", "aws", "s4://b", "b/x", "s3://", "local", "3", "wokr", "work", "r-22", "r-2")
    code, _, err = dstack("config")
    assert code == 0, err
    for told in (
        "did you mean aws?",
        "a number from 1 to 2",
        "did you mean r-2?",
        "did you mean s3?",
        "is no URL",
        "no bucket",
    ):
        assert told in err
    assert asked(stage)["settings"] == {"aws": {"profile": "work", "regions": ["r-2"]}}


def test_again_it_begins_with_what_there_is(stage: Backstage, dstack: Call, answer: Callable[..., None]) -> None:
    stage.answers["POST /logins"]["aws"].append(login("work"))
    there = backend("aws", profile="work", regions=["r-2"], images={"cpu": "ami-1"})
    show(stage, project("main", backend("local"), there, store="s3://b", store_options={"region": "r-9"}))
    answer("", "", "", "")
    assert dstack("config").code == 0
    assert asked(stage) == {
        "backends": ["local", "aws"], "store": "s3://b", "store_options": {"region": "r-9"},
        "settings": {"aws": {"profile": "work", "regions": ["r-2"]}},
    }  # fmt: skip


def test_the_default_profile_takes_the_setting_away(
    stage: Backstage, dstack: Call, answer: Callable[..., None]
) -> None:
    stage.answers["POST /logins"]["aws"].append(login("work"))
    show(stage, project("main", backend("aws", profile="work")))
    answer("", "", "default", "")
    assert dstack("config").code == 0
    assert asked(stage)["settings"]["aws"]["profile"] == ""


@pytest.mark.parametrize("lines", [(), ("",), ("", "local")])
def test_an_end_in_the_middle_writes_nothing(
    stage: Backstage, dstack: Call, answer: Callable[..., None], lines: tuple[str, ...]
) -> None:
    answer(*lines)
    code, _, err = dstack("config")
    assert (code, stage.bodies("PUT /configuration")) == (2, [])
    assert "nothing was written" in err


def test_a_store_elsewhere_needs_its_clouds_login_too(
    stage: Backstage, dstack: Call, answer: Callable[..., None]
) -> None:
    account = setting("account", question="Whose account", required=True, of_store=True)
    show(stage, project("main"))
    stage.answers["GET /api/configuration"]["clouds"] = [CLOUD, {**GCP, "settings": [PAYER, account]}]
    answer("aws", "gs://b", "", "p-1", "", "a-1")
    code, _, err = dstack("config")
    assert code == 0 and "GCP can't do without" in err
    assert asked(stage)["settings"]["gcp"] == {"project_id": "p-1", "account": "a-1"}


def test_what_is_made_once_in_the_cloud_is_told(stage: Backstage, dstack: Call) -> None:
    stage.answers["POST /backends/aws/prepare"] = {"text": "its role is there"}
    assert "aws: its role is there\n" in dstack("config", "-y").err
    refused = {"code": "NotAuthorized", "summary": "may not", "hint": "ask"}
    stage.answers["POST /backends/aws/prepare"] = reply_json(refused, 502)
    code, _, err = dstack("config", "-y")
    assert (code, "warning: aws: may not (ask)\n" in err) == (0, True)


def test_one_cloud_by_options(stage: Backstage, dstack: Call) -> None:
    show(stage, project("main", backend("local")))
    words = [
        "--region",
        "r-1",
        "--region=r-2",
        "--profile",
        "work",
        "--ssh-from",
        "10.0.0.0/8",
        "--store-option",
        "a=b",
    ]
    assert dstack("aws", "config", *words, "--store", "s3://b", "-y").code == 0
    settings = {"aws": {"profile": "work", "regions": ["r-1", "r-2"], "ssh_from": ["10.0.0.0/8"]}}
    assert asked(stage) == {
        "backends": ["local", "aws"], "store": "s3://b", "store_options": {"a": "b"}, "settings": settings,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("config",), "nobody is there to answer"),
        (("aws", "config"), "nobody is there to answer"),
        (("config", "-y", "--backend", "gcp"), "GCP: nothing on this computer says which project_id\nhint: say it: `dstack gcp config --project-id"),
        (("config", "-y", "--backend", "locla"), "did you mean local?"),
        (("config", "-y", "--store-option", "x"), "is no option of a store"),
        (("aws", "config", "-y", "--regon", "r-1"), "there is no option '--regon' (did you mean --region?)"),
        (("aws", "config", "-y", "--region", "r2"), "there is no region 'r2' (did you mean r-2?)"),
        (("aws", "config", "-y", "--profile", "a", "--profile", "b"), "given twice"),
        (("aws", "config", "-y", "--profile"), "needs a value"),
        (("aws", "config", "-y", "word"), "what is `word`?"),
        (("config", "lst"), "unexpected extra argument"),
    ],
)  # fmt: skip
def test_slips(stage: Backstage, dstack: Call, words: tuple[str, ...], said: str) -> None:
    code, _, err = dstack(*words)
    assert (code, stage.bodies("PUT /configuration")) == (2, [])
    assert said in err


def test_the_help_of_a_cloud_has_its_settings(stage: Backstage, dstack: Call) -> None:
    code, out, _ = dstack("aws", "config", "-h")
    assert code == 0
    for words in ("--region    about regions; may be given again", "--ssh-from", "--store", "--yes"):
        assert words in out


def test_list(stage: Backstage, dstack: Call) -> None:
    aws = {**backend("aws", regions=["r-1"], vpc="v"), "credential": "profile default (~/.aws/x)"}
    lost = {**backend("gcp"), "named": False, "found": False, "credential": "log in"}
    show(stage, project("main", aws, lost), project("team", backend("local"), default=False, store="s3://b"))
    lines = [" ".join(line.split()) for line in dstack("config", "list").out.splitlines()]
    assert lines[1] == "main (in use) aws profile default (~/.aws/x) r-1, vpc a folder here"
    assert lines[2] == "gcp (only where it is named) none found: log in -"
    assert lines[3] == "team local - - s3://b"
    assert json.loads(dstack("config", "list", "--json").out)[1]["name"] == "team"


def test_use_and_delete(stage: Backstage, dstack: Call) -> None:
    show(stage, project("main", backend("aws"), backend("twin")), project("team"), project("twin"))
    stage.answers["PUT /api/configuration/default"] = WRITTEN
    assert "about project team" in dstack("config", "use", "team").out
    assert stage.requests[-1].query == {"project": "team"}
    stage.answers["DELETE /api/projects/main/backends/aws"] = {**WRITTEN, "notes": ["its settings stay"]}
    assert "note: its settings stay" in dstack("config", "delete", "aws", "-y").err
    stage.answers["DELETE /api/projects/team/configuration"] = WRITTEN
    assert dstack("config", "delete", "team", "-y").code == 0
    assert "nobody is there to answer" in dstack("config", "delete", "team").err
    assert "did you mean team?" in dstack("config", "delete", "taem", "-y").err
    assert "--project main means the backend" in dstack("config", "delete", "twin", "-y").err
    refused = {"code": "Conflict", "summary": "project team is in use", "hint": None}
    stage.answers["DELETE /api/projects/team/configuration"] = reply_json(refused, 409)
    assert dstack("config", "delete", "team", "-y") == (2, "", "error: project team is in use\n")


def test_permissions_are_for_a_file(stage: Backstage, dstack: Call) -> None:
    stage.answers["GET /backends/aws/permissions"] = {"document": '{"a": 1}', "apply": "aws iam …"}
    assert dstack("config", "permissions", "aws") == (0, '{"a": 1}\n', "give it with: aws iam …\n")


def test_another_project_may_be_meant(stage: Backstage, dstack: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.answers["GET /api/projects/team/findings"] = []
    monkeypatch.setenv("DSTACK_PROJECT", "team")
    assert dstack("config", "check").code == 0
    monkeypatch.delenv("DSTACK_PROJECT")
    assert dstack("config", "check", "--project", "team").code == 0


def test_a_file_that_was_changed_by_hand_is_not_new_to_a_server_that_is_younger(stage: Backstage, dstack: Call) -> None:
    stage.answers["GET /api/server"]["started_at"] = time.time() + 60
    stage.answers["GET /findings"] = []
    (Path(stage.folder).parent / "home" / "config.yaml").write_text("")
    assert dstack("config", "check") == (0, "", "")


@pytest.mark.parametrize("words", [("--token", "s3cret"), ("--url=http://team", "--token=s3cret", "--project", "p")])
def test_a_server_of_a_team_is_not_available_yet(dstack: Call, words: tuple[str, ...]) -> None:
    answer = dstack("config", *words)
    assert answer.code == 2
    assert "is not available yet: there are no team servers" in answer.err and "s3cret" not in answer.err
