"""`dstack config` as a person has it: on a terminal, again, with options alone, and against an emulated AWS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e import amazon as aws
from tests.e2e.conftest import User, until
from tests.e2e.terminal import END, INTERRUPT, Terminal
from tests.fakes.aws import REGION, SECRET_KEY, MotoCloud
from tests.fakes.aws.fixtures import any_moto, moto
from tests.fakes.azure.cloud import LOCATION, AzureCloud
from tests.fakes.azure.fixtures import any_azure, azure
from tests.fakes.gcp import REGION as EUROPE
from tests.fakes.gcp import GoogleCloud
from tests.fakes.gcp.fixtures import any_google, google
from tests.unit.azure.conftest import write_principal

__all__ = ["any_azure", "any_google", "any_moto", "azure", "google", "moto"]  # fixtures

MINE = """\
# what I wrote
projects:
  other:
    backends: [local]   # for quick things
"""


@pytest.fixture(autouse=True)
def person(user: User) -> Path:
    """Their home folder, with two profiles of AWS."""
    aws.log_in(user)
    home = Path(user.env["HOME"])
    with (home / ".aws/credentials").open("a") as file:
        file.write(f"[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = {SECRET_KEY}\n")
    (home / ".aws/config").write_text("[profile work]\nregion = eu-west-1\n")
    return home


def config(user: User) -> Path:
    return user.home / "config.yaml"


def projects(user: User) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(config(user).read_text())["projects"]
    return found


def test_from_nothing_on_a_terminal_and_then_again(user: User) -> None:
    with Terminal(user, "config") as terminal:
        terminal.expect("found: profile default (~/.aws/credentials), profile work (~/.aws/credentials)")
        terminal.answer("[aws]: ", "awz")
        terminal.expect("did you mean aws?")
        terminal.answer("[aws]: ", "local, aws")
        terminal.answer("[local]: ", "s3://my-bucket/team")
        terminal.answer("[1]: ", "work")
        terminal.answer("AWS regions [eu-west-1]: ", "eu-west-1, eu-wset-3")
        terminal.expect("did you mean eu-west-3?")
        terminal.answer("AWS regions [eu-west-1]: ", "eu-west-1, eu-west-3")
        assert terminal.wait() == 0, terminal.shown
    settings = {"aws": {"profile": "work", "regions": ["eu-west-1", "eu-west-3"]}}
    main = {"backends": ["local", "aws"], "store": "s3://my-bucket/team", "settings": settings}
    assert projects(user) == {"main": main}
    assert SECRET_KEY not in config(user).read_text()
    before = config(user).read_text()
    with Terminal(user, "config") as terminal:
        for question in ("[local, aws]: ", "[s3://my-bucket/team]: ", "[2]: ", "[eu-west-1, eu-west-3]: "):
            terminal.answer(question, "")
        assert terminal.wait() == 0
        assert "says that already" in terminal.shown
    assert config(user).read_text() == before


@pytest.mark.parametrize(("key", "code"), [(INTERRUPT, 130), (END, 2)])
def test_who_stops_in_the_middle_has_the_file_as_it_was(user: User, key: str, code: int) -> None:
    user.home.mkdir()
    config(user).write_text(MINE)
    with Terminal(user, "config") as terminal:
        terminal.answer("Backends", "aws")
        terminal.answer("Where code", "")
        terminal.expect("Which login")
        terminal.expect("]: ")
        terminal.type(key)
        assert terminal.wait() == code, terminal.shown
        assert "nothing was written" in terminal.shown
    assert config(user).read_text() == MINE
    assert list(user.home.glob("config.yaml?*")) == []


def test_where_nobody_can_be_asked(user: User) -> None:
    assert "-y takes what was found" in user("config", code=2).err
    assert not config(user).exists()
    user("config", "--backend", "local", "-y")
    assert projects(user) == {"main": {"backends": ["local"]}}


def test_what_is_written_holds_at_once_and_jobs_go_on(user: User) -> None:
    user.home.mkdir()
    config(user).write_text(MINE)
    user.workflows("workflows: {name: wait, commands: [echo ready, until test -e ~/go; do sleep 0.1; done]}")
    name = user.submit("wait")
    user.wait_for_log(name, "ready")
    assert "other is in use" in user("config", "delete", "other", "-y", code=2).err
    said = user("aws", "config", "--project", "team", "--profile", "work", "-y")
    assert "kept: project other, 1 comment line" in said.err
    assert (user.home / "config.yaml.bak").read_text() == MINE
    assert [run["name"] for run in user.runs()] == [name]
    user("config", "use", "team")
    assert user.runs() == []
    listed = json.loads(user("config", "list", "--json").out)
    assert [(each["name"], each["default"]) for each in listed] == [("other", False), ("team", True)]
    assert listed[1]["backends"][0]["credential"] == "profile work (~/.aws/credentials)"
    user("config", "use", "other")
    [folder] = (user.home / "runners").glob("*/home")
    (folder / "go").touch()
    assert user.wait(name)["status"] == "done"
    until(lambda: user("config", "delete", "other", "-y", code=None).code == 0)
    assert list(projects(user)) == ["team"]
    assert "# what I wrote" in config(user).read_text()


def test_a_file_that_was_changed_by_hand(user: User) -> None:
    user("config", "--backend", "local", "-y")
    config(user).write_text("projects: {main: {backends: [locl]}}\n")
    for words in (("check",), ("list",), ("use", "main"), ("-y",)):
        assert "there is no backend 'locl'" in user("config", *words, code=2).err
    config(user).write_text("projects: [")
    assert f"{config(user)}:1:12: this isn't YAML" in user("config", "--backend", "local", "-y", code=2).err
    config(user).write_text("projects: {main: {backends: [local]}}\n")
    assert user("config", "list").code == 0


@pytest.mark.moto
def test_check_and_permissions_on_an_emulated_aws(user: User, moto: MotoCloud) -> None:
    regions = ["--region", REGION, "--region", "eu-west-3"]
    user("aws", "config", *regions, "--profile", "", "--endpoint", moto.endpoint, "-y")
    moto.fail("RunInstances", "UnauthorizedOperation", region="eu-west-3")
    answer = user("config", "check", code=1)
    lines = answer.text.splitlines()
    assert "ok    aws: credentials of arn:aws:" in lines[0]
    assert f"ok    aws: {REGION}: ec2:CreateSecurityGroup is permitted" in lines
    [at] = [
        n
        for n, line in enumerate(lines)
        if line.startswith("FAIL  aws: ") and "eu-west-3" in line and "RunInstances" in line
    ]
    assert lines[at + 1].startswith("      ")
    assert "`dstack config permissions aws`" in answer.text
    assert "ok    store: " in lines[-1]
    policy = json.loads(user("config", "permissions", "aws").text)
    assert "ec2:RunInstances" in str(policy)
    until(lambda: moto.instances() == [])


@pytest.mark.azure
@pytest.mark.google
@pytest.mark.moto
def test_three_clouds_in_one_project(
    user: User, person: Path, moto: MotoCloud, azure: AzureCloud, google: GoogleCloud
) -> None:
    user("aws", "config", "--region", REGION, "--profile", "", "--endpoint", moto.endpoint, "-y")
    login = ["--service-principal", write_principal(person / "sp.json", azure), "--subscription", azure.subscription]
    said = user("azure", "config", *login, "--region", LOCATION, "--endpoint", azure.endpoint, "-y").err
    assert "azure: the machines' identity and its role are there" in said
    key = google.key_file()
    (person / "key.json").write_text(json.dumps(key))
    login = ["--credentials", str(person / "key.json"), "--project-id", key["project_id"]]
    said = user("gcp", "config", *login, "--region", EUROPE, "--endpoint", google.endpoint, "-y").err
    assert "gcp: the machines' service account dstack-" in said
    assert "runs on aws, azure, gcp from now on, for money" in said
    assert azure.secret not in config(user).read_text()
    [main] = json.loads(user("config", "list", "--json").out)
    found = [each["credential"].partition(" (")[0] for each in main["backends"]]
    assert found == ["profile default", "service principal", f"key of {key['client_email']}"]
    lines = user("config", "check", code=None).text.splitlines()
    for cloud, region in (("aws", REGION), ("azure", LOCATION), ("gcp", EUROPE)):
        assert any(line.startswith(f"ok    {cloud}: ") and region in line for line in lines)
    assert json.loads(user("config", "permissions", "azure").out)["IsCustom"]
    user("config", "delete", "azure", "-y")
    user("config", "delete", "gcp", "-y")
    assert list(yaml.safe_load(config(user).read_text())["projects"]["main"]["settings"]) == ["aws"]
