from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.backends.base import Capabilities
from dstack_cloud.domain.runs import Instance
from dstack_cloud.domain.states import InstanceStatus
from dstack_cloud.orchestrator.dispatch import runner_job
from dstack_cloud.services import remotes, secrets
from dstack_cloud.services.sealing import Sealer, load_sealer
from tests.unit.services.office import OFFER, Office

HERE = Capabilities(containers=False, default_image=None, remote=False)
WORKFLOW = """workflows:
  - name: train
    image: a
    registry_auth: {username: me, password: "${{ secrets.TOKEN }}"}
    env: {URL: "x-${{ secrets.TOKEN }}", PLAIN: "$${{ secrets.TOKEN }}", OTHER: mine}
    commands: ["use ${{ secrets.TOKEN }}"]
"""
FILES = [{"path": ".dstack/workflows.yaml", "text": WORKFLOW}]


def handed_over(office: Office, name: str, where: Capabilities = HERE) -> dict[str, object]:
    instance = Instance(f"{name}-x", "main", f"{name}.train", name, 1, OFFER, InstanceStatus.STARTING)
    return runner_job(replace(office.world, unsealer=office.sealer), instance, office.job(name), where)


def test_values_are_put_in_when_the_job_is_handed_over(office: Office) -> None:
    secrets.add(office.context, "main", "TOKEN", "s3cret")
    secrets.add(office.context, "main", "OTHER", "theirs")
    secrets.add(office.context, "other", "ELSEWHERE", "x")
    name = office.submit(files=FILES)["name"]
    secrets.update(office.context, "main", "TOKEN", "newer")
    job = handed_over(office, name)
    assert job["commands"] == ['use "${TOKEN}"']
    assert job["registry_auth"] == {"username": "me", "password": "newer"}
    assert job["secrets"] == {"OTHER": "theirs", "TOKEN": "newer"}
    assert job["env"] == {
        "TOKEN": "newer", "OTHER": "mine", "URL": "x-newer", "PLAIN": "${{ secrets.TOKEN }}", "DSTACK_ATTEMPT": f"{name}-x",
        "JOB_ID": f"{name}.train",
    }  # fmt: skip


def test_jobs_in_this_network_trust_whom_this_computer_trusts(office: Office) -> None:
    name = office.submit()["name"]
    office.world = replace(office.world, own_ca_bundle="own")
    assert handed_over(office, name)["ca_bundle"] is None
    assert handed_over(office, name, replace(HERE, same_network=True))["ca_bundle"] == "own"
    office.world = replace(office.world, ca_bundle="set")
    assert [handed_over(office, name, where)["ca_bundle"] for where in (HERE, replace(HERE, same_network=True))] == [
        "set"
    ] * 2


def test_a_job_does_not_start_without_what_it_was_submitted_with(office: Office) -> None:
    secrets.add(office.context, "main", "TOKEN", "s3cret")
    name = office.submit(files=FILES)["name"]
    secrets.delete(office.context, "main", "TOKEN")
    with pytest.raises(errors.ConfigurationError, match="TOKEN was deleted"):
        handed_over(office, name)


def test_no_row_has_a_value(office: Office, tmp_path: Path) -> None:
    secrets.add(office.context, "main", "TOKEN", "s3cret-value")
    name = office.submit(files=FILES)["name"]
    assert b"s3cret-value" not in office.sealer.open(office.job(name).sealed).model_dump_json().encode()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret-value" in path.read_bytes()]


def test_a_lost_key_is_told_and_an_update_mends_it(office: Office, tmp_path: Path) -> None:
    secrets.add(office.context, "main", "TOKEN", "s3cret")
    object.__setattr__(office.context, "sealer", load_sealer(tmp_path / "other.key"))
    with pytest.raises(errors.ConfigurationError, match="sealed the secret TOKEN"):
        secrets.check_usable(office.context, "main", [], "train")
    secrets.update(office.context, "main", "TOKEN", "again")
    assert secrets.check_usable(office.context, "main", ["TOKEN"], "train") == ["TOKEN"]


def test_a_project_that_is_not_there(office: Office) -> None:
    for call in (lambda: secrets.add(office.context, "nope", "A", "x"), lambda: secrets.names(office.context, "nope")):
        with pytest.raises(errors.NotFound, match="no project"):
            call()


def put(office: Office, remote: str) -> None:
    request: schemas.RemoteRequest = {
        "remote": remote, "kind": "token", "secret": "t0ken-value", "username": "", "known_hosts": "",
    }  # fmt: skip
    remotes.put(office.context, "main", request)


def test_a_second_credential_of_a_server_is_refused(office: Office) -> None:
    put(office, "https://git.example/a.git")
    put(office, "https://git.example/a.git")
    put(office, "https://other.example/a.git")
    with pytest.raises(errors.Conflict, match=r"for git\.example already"):
        put(office, "https://git.example/b.git")


def test_a_credential_that_another_key_sealed_is_noticed_before_a_run(office: Office) -> None:
    put(office, "https://git.example/a.git")
    other = replace(office.context, sealer=Sealer(Fernet.generate_key()))
    with pytest.raises(errors.ConfigurationError):
        secrets.check_usable(other, "main", [], "train")
