from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from dstack_cloud.backends.sandbox.config import SandboxConfig
from dstack_cloud.backends.sandbox.resources.machine import Place, resolvers, seed, specification
from dstack_cloud.domain.resources import Gpu, Machine, Offer

PLACE = Place("an-image", "a-network", ("192.0.2.53", "192.0.2.54"), "http://192.0.2.1:5000")


def test_the_seed_is_readable_by_root_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(seed("#cloud-config\n{}", "key-1", "box"))) as tar:
        members = {Path(member.name).name: member for member in tar}
        texts = {name: tar.extractfile(member).read().decode() for name, member in members.items()}  # type: ignore[union-attr]
    assert texts["user-data"] == "#cloud-config\n{}"
    assert '"instance-id": "key-1"' in texts["meta-data"]
    assert {(member.mode, member.uid) for member in members.values()} == {(0o600, 0)}


def test_a_machine_without_user_data_boots_too() -> None:
    assert b"#cloud-config" in seed("", "key", "box")


def test_the_size_is_a_limit_and_swap_is_no_way_around_it() -> None:
    host = specification(SandboxConfig(cpu=3, memory=2**30), PLACE, "box", {})["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (2**30, 2**30, 3 * 10**9)


def test_it_is_as_large_as_the_offer_and_told_of_its_gpus() -> None:
    gpu = Gpu(name="T4", memory=15 * 2**30)
    machine = Machine(cpu=1, memory=2**29, gpus=(gpu, gpu))
    offer = Offer(backend="sandbox", region="here", zone="here-a", instance_type="big", machine=machine, spot=True)
    made = specification(SandboxConfig(boot_delay=2.5), PLACE, "box", {"dstack.owner": "me"}, offer)
    assert (made["HostConfig"]["Memory"], made["HostConfig"]["NanoCpus"]) == (2**29, 10**9)
    assert {"MACHINE_GPUS=T4:15360;T4:15360", "MACHINE_BOOT_DELAY=2.5"} < set(made["Env"])
    labels = {"dstack.region": "here", "dstack.zone": "here-a", "dstack.type": "big", "dstack.spot": "true"}
    assert made["Labels"] == {"dstack.owner": "me", **labels}


def test_it_gets_no_power_over_the_computer() -> None:
    host = specification(SandboxConfig(), PLACE, "box", {})["HostConfig"]
    assert not {"SYS_MODULE", "SYS_RAWIO", "SYS_TIME", "SYS_RESOURCE"} & set(host["CapAdd"])
    assert "Privileged" not in host
    assert "Binds" not in host


def test_labels_are_on_the_container_and_its_volume() -> None:
    made = specification(SandboxConfig(), PLACE, "box", {"dstack.owner": "me"})
    assert made["Labels"] == {"dstack.owner": "me"}
    assert made["HostConfig"]["Mounts"][0]["VolumeOptions"]["Labels"] == {"dstack.owner": "me"}


@pytest.mark.parametrize(
    ("etc", "systemd", "found"),
    [
        ("search a\nnameserver 192.0.2.1\nnameserver 127.0.0.1\n", "", ("192.0.2.1",)),
        ("nameserver 127.0.0.53\n", "nameserver 192.0.2.9\n", ("192.0.2.9",)),
        ("nameserver ::1\n", "", ()),
        ("# nothing\nnameserver\n", "", ()),
    ],
)
def test_resolvers_on_the_loopback_address_are_of_no_use(
    tmp_path: Path, etc: str, systemd: str, found: tuple[str, ...]
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "resolv.conf").write_text(etc)
    (tmp_path / "run" / "systemd" / "resolve").mkdir(parents=True)
    (tmp_path / "run" / "systemd" / "resolve" / "resolv.conf").write_text(systemd)
    assert resolvers(tmp_path / "etc", tmp_path / "run") == found
