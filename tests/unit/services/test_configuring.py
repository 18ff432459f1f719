"""What is written into config.yaml, and what isn't: over the backends as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dstack_cloud import errors
from dstack_cloud.api import configuration as api
from dstack_cloud.domain.runs import Instance
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.server.wiring import Server, wire
from dstack_cloud.services import configuration, configuring, runs
from tests.unit.services.office import OFFER
from tests.unit.services.office import request as a_run

OTHERS = """\
# ours
projects:
  team:
    backends: [local]  # for now
    settings: {aws: {profile: work, images: {cpu: ami-1}}}
ca_bundle: ""
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.setenv("DSTACK_LOCAL_MODE", "process")
    (tmp_path / "person" / ".aws").mkdir(parents=True)
    keys = "[default]\naws_access_key_id = A\naws_secret_access_key = s3cret\n"
    (tmp_path / "person" / ".aws" / "credentials").write_text(keys)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    for server in made:
        server.database.close()


def started(home: Path, servers: list[Server], text: str = "") -> Server:
    if text:
        (home / "config.yaml").write_text(text)
    servers.append(wire(home))
    return servers[-1]


def request(**changes: Any) -> api.ProjectRequest:
    nothing: api.ProjectRequest = {"backends": None, "store": None, "store_options": None, "settings": {}}
    nothing.update(changes)  # type: ignore[typeddict-item]  # each test changes what it is about
    return nothing


def written(home: Path) -> Any:
    return yaml.safe_load((home / "config.yaml").read_text())


def test_the_first_file_is_commented_private_and_works(home: Path, servers: list[Server]) -> None:
    context = started(home, servers).context
    wanted = request(backends=["aws"], store="s3://b/x", settings={"aws": {"regions": ["eu-west-1"], "profile": ""}})
    answer = configuring.configure(context, "main", wanted)
    assert (answer["backup"], answer["changed"], answer["kept"]) == ("", True, [])
    settings = {"aws": {"regions": ["eu-west-1"]}}
    assert written(home) == {"projects": {"main": {"backends": ["aws"], "store": "s3://b/x", "settings": settings}}}
    text = (home / "config.yaml").read_text()
    assert text.count("#") >= 5 and "s3cret" not in text
    assert (home / "config.yaml").stat().st_mode & 0o777 == 0o600
    again = started(home, servers).context
    assert again.settings["main"].store == "s3://b/x"
    assert not configuring.configure(again, "main", wanted)["changed"]


def test_what_others_wrote_stays_and_a_copy_of_it_too(home: Path, servers: list[Server]) -> None:
    context = started(home, servers, OTHERS).context
    assert context.default_project == "team"
    answer = configuring.configure(context, "main", request(backends=["ssh"]))
    assert answer["kept"] == ["project team", "ca_bundle", "1 comment line"]
    assert Path(answer["backup"]).read_text() == OTHERS
    text = (home / "config.yaml").read_text()
    assert "# ours\n" in text and "backends: [local]  # for now\n    settings: {aws: {profile: work" in text


def test_the_only_project_stays_the_one_in_use_beside_another(home: Path, servers: list[Server]) -> None:
    configuring.configure(started(home, servers, OTHERS).context, "third", request(backends=["ssh"]))
    assert written(home)["default_project"] == "team"
    again = started(home, servers).context
    configuring.configure(again, "fourth", request(backends=["ssh"]))
    assert "config use PROJECT" in configuring.delete_project(started(home, servers).context, "team")["notes"][1]


def test_a_link_stays_a_link(home: Path, servers: list[Server], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(OTHERS)
    (home / "config.yaml").symlink_to(tmp_path / "mine.yaml")
    configuring.choose_default(started(home, servers).context, "team")
    assert (home / "config.yaml").is_symlink()
    assert "default_project: team" in (tmp_path / "mine.yaml").read_text()


@pytest.mark.parametrize(
    ("project", "wanted", "said"),
    [
        ("main", {"backends": ["asw"]}, "there is no backend 'asw' (did you mean aws?)"),
        ("main", {"settings": {"aws": {"regoins": []}}}, "there is no setting 'regoins' (did you mean regions?)"),
        ("main", {"settings": {"aws": {"regions": ["eu-wst-1"]}}}, "there is no region 'eu-wst-1' (did you mean"),
        ("main", {"settings": {"ssh": {"x": 1}}}, "doesn't know the settings of ssh"),
        ("main", {"settings": {"aws": {"endpoint": "nowhere"}}}, "isn't a URL"),
        ("main", {"store_options": {"secret_key": "x"}}, "looks like a credential"),
        ("main", {"store": "ftp://x"}, "is no place for objects"),
        ("a/b", {"backends": ["aws"]}, "can't be a project's name"),
    ],
)
def test_slips_are_told_and_nothing_is_written(
    home: Path, servers: list[Server], project: str, wanted: Any, said: str
) -> None:
    context = started(home, servers, OTHERS).context
    with pytest.raises(errors.DstackError) as caught:
        configuring.configure(context, project, request(**wanted))
    assert said in caught.value.summary
    assert caught.value.exit_code == 2
    assert (home / "config.yaml").read_text() == OTHERS
    assert [path.name for path in home.glob("config.yaml*")] == ["config.yaml"]


def test_a_folder_that_may_not_be_written(home: Path, servers: list[Server]) -> None:
    context = started(home, servers, OTHERS).context
    os.mkdir(home / f"config.yaml.bak.{os.getpid()}")
    with pytest.raises(errors.ConfigurationError, match="can't be written"):
        configuring.configure(context, "main", request(backends=["ssh"]))
    assert (home / "config.yaml").read_text() == OTHERS


@pytest.mark.parametrize("text", ["projects: [", "projects: {main: {bakends: [local]}}", "[]"])
def test_what_cannot_be_read_is_not_changed(home: Path, servers: list[Server], text: str) -> None:
    context = started(home, servers).context
    (home / "config.yaml").write_text(text)
    with pytest.raises(errors.ConfigurationError, match=r"config\.yaml"):
        configuring.configure(context, "main", request(backends=["ssh"]))
    assert (home / "config.yaml").read_text() == text


def test_the_project_in_use(home: Path, servers: list[Server]) -> None:
    context = started(home, servers, OTHERS + "default_project: team\n").context
    with pytest.raises(errors.NotFound, match="did you mean team"):
        configuring.choose_default(context, "taem")
    assert configuring.delete_project(context, "team")["notes"]
    assert written(home) == {"ca_bundle": ""}
    assert started(home, servers).context.default_project == "main"
    with pytest.raises(errors.ConfigurationError, match="did you mean team"):
        started(home, servers, OTHERS + "default_project: teem\n")


def test_a_backend_goes_with_its_settings_but_for_those_that_the_store_needs(home: Path, servers: list[Server]) -> None:
    context = started(home, servers, OTHERS).context
    configuring.delete_backend(context, "team", "aws")
    assert written(home)["projects"]["team"] == {"backends": ["local"]}
    with pytest.raises(errors.NotFound, match="did you mean local"):
        configuring.delete_backend(started(home, servers).context, "team", "locla")
    stored = OTHERS.replace("[local]", "[aws]\n    store: s3://b")
    answer = configuring.delete_backend(started(home, servers, stored).context, "team", "aws")
    assert "the store s3://b is reached with them" in answer["notes"][0]
    assert list(written(home)["projects"]["team"]) == ["store", "settings"]


def test_nothing_that_is_in_use_is_taken_away(home: Path, servers: list[Server]) -> None:
    server = started(home, servers, OTHERS)
    run = runs.submit(server.context, "team", a_run())["name"]
    [job] = server.database.jobs.unfinished()
    there = job.spec.requirements.model_copy(update={"backends": ("aws",)})
    job = server.database.jobs.save(replace(job, spec=job.spec.model_copy(update={"requirements": there})))
    deletions = (
        lambda: configuring.delete_project(server.context, "team"),
        lambda: configuring.delete_backend(server.context, "team", "aws"),
    )
    for delete in deletions:
        with pytest.raises(errors.Conflict, match=f"unfinished: {run}.train"):
            delete()
    server.database.jobs.save(replace(job, status=JobStatus.DONE, finished_at=1.0))
    offer = OFFER.model_copy(update={"backend": "aws"})
    server.database.instances.add(Instance("x", "team", job.id, run, 1, offer, ref="eu-west-1/i-1"))
    for delete in deletions:
        with pytest.raises(errors.Conflict, match="machines exist: eu-west-1/i-1"):
            delete()
    configuring.delete_backend(server.context, "team", "local")


def test_what_is_shown_says_where_credentials_come_from(home: Path, servers: list[Server]) -> None:
    view = configuration.overview(started(home, servers, OTHERS).context)
    [team] = view["projects"]
    local, aws = team["backends"]
    assert (local["named"], local["credential"], aws["named"], aws["found"]) == (True, "", False, False)
    plain = OTHERS.replace("profile: work, ", "")
    context = started(home, servers, plain).context
    [team] = configuration.overview(context)["projects"]
    assert team["backends"][1]["credential"] == "profile default (~/.aws/credentials)"
    assert "s3cret" not in str(configuration.find_logins(context, "team", {"environment": {}}))


def test_permissions_are_those_of_the_settings(home: Path, servers: list[Server]) -> None:
    context = started(home, servers, OTHERS).context
    assert "ec2:RunInstances" in configuration.permissions(context, "team", "aws")["document"]
    with pytest.raises(errors.UsageError, match="local asks for no permissions"):
        configuration.permissions(context, "team", "local")
    with pytest.raises(errors.NotFound, match="did you mean aws"):
        configuration.permissions(context, "team", "asw")
