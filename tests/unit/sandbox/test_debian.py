from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources import debian, machine_image


def test_the_mirror_is_named_only_where_one_is_set() -> None:
    system = debian.FileSystem(("bash", "git"), "extract")
    target, packages = Path("out.tar"), Path("debs")
    assert debian.command(system, target, "", packages)[-2:] == [debian.SUITE, "out.tar"]
    assert (
        debian.command(system, target, "http://mirror.example/debian", packages)[-1] == "http://mirror.example/debian"
    )


def test_hooks_run_in_the_stage_that_the_variant_has() -> None:
    hooks = ("echo one",)
    unpacked = debian.command(debian.FileSystem((), "extract", hooks), Path("t"), "", Path("d"))
    configured = debian.command(debian.FileSystem((), "minbase", hooks), Path("t"), "", Path("d"))
    assert "--extract-hook=echo one" in unpacked
    assert "--customize-hook=echo one" in configured


def test_what_a_machine_is_made_of_names_its_image() -> None:
    plain, other = SandboxConfig(), SandboxConfig(base_image="debian:other")
    assert machine_image.name(plain) == machine_image.name(SandboxConfig(cpu=1))
    assert machine_image.name(plain) != machine_image.name(other)
    assert machine_image.name(SandboxConfig(machine_image="mine:1")) == "mine:1"


def test_the_job_image_is_named_for_its_python() -> None:
    assert SandboxConfig().job_image_for("3.12") == "dstack-cloud/job:py3.12"


@pytest.mark.parametrize("subnet", ["10.0.0.1/24", "10.0.0.0/32", "a network"])
def test_a_subnet_is_one_with_room(subnet: str) -> None:
    with pytest.raises(ValidationError):
        SandboxConfig(subnet=subnet)
