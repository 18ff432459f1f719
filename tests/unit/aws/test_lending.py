"""Whom a store on S3 knows: AWS's own its machines and what is lent, another's S3 server neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

import pytest

from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources.lending import S3Access
from dstack_cloud.backends.base import Capabilities
from dstack_cloud.orchestrator.errands import errand_of, machine_store
from dstack_cloud.orchestrator.launching import launch_of
from tests.fakes.aws import MotoCloud
from tests.fakes.simulation import Chance, SimBackend
from tests.unit.orchestrator.conftest import errand
from tests.unit.orchestrator.errand import Errand

__all__ = ["errand"]  # a fixture

STORE = "s3://bucket/team"
MINIO = {"endpoint": "https://minio.example:9000"}
PRIVATE = {"endpoint": "https://bucket.vpce-1a2b-3c.s3.eu-west-1.vpce.amazonaws.com"}


@pytest.mark.parametrize(
    ("options", "foreign"),
    [({}, False), (PRIVATE, False), ({"endpoint": "https://s3.cn-north-1.amazonaws.com.cn"}, False), (MINIO, True)],
)
def test_an_endpoint_that_is_not_amazons_is_foreign(options: Mapping[str, str], foreign: bool) -> None:
    assert S3Access(AwsConfig(), STORE, options).foreign is foreign


def test_emulators_are_of_one_piece() -> None:
    assert not S3Access(
        AwsConfig(endpoint="http://172.17.0.1:5000"), STORE, {"endpoint": "http://172.17.0.1:8333"}
    ).foreign


def test_amazons_own_endpoints_are_lent_others_not(config: AwsConfig, cloud: MotoCloud) -> None:
    assert S3Access(config, STORE, PRIVATE).lend(["runs/a/"], 3600)
    assert S3Access(config, STORE, {"endpoint": f"{config.endpoint}/"}).lend(["runs/a/"], 3600)
    assert S3Access(config, STORE, MINIO).lend(["runs/a/"], 3600) is None


class WithRoles(SimBackend):
    """Its machines have an identity, and are the user's own: they need no keys."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, store="s3", ephemeral=False)


@pytest.mark.parametrize("options", [{}, MINIO])
def test_machines_of_aws_use_their_role_at_aws_only(errand: Errand, options: dict[str, str]) -> None:
    job = errand.hand_over("true")
    backend = WithRoles(Chance(Random(0)), name="local", remote=True)
    access = S3Access(AwsConfig(), STORE, options)
    world = replace(errand.world, access={"main": access}, backends={"main": {"local": backend}})
    found = machine_store(world, errand.instance, errand_of(errand.instance, job))
    assert (found is None) == bool(options)
    assert launch_of(world, errand.instance, job, backend.capabilities).store == ("" if options else STORE)
