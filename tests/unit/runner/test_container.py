"""What the engine is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import container, firewall
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import parse_job
from tests.unit.runner.rig import Rig


@pytest.mark.parametrize(
    ("written", "wanted"),
    [(None, {"Count": 2}), ("0,2", {"DeviceIDs": ["0", "2"]}), ("GPU-5f, 3\n", {"DeviceIDs": ["GPU-5f", "3"]})],
)
def test_gpus_are_limited_to_the_leased_ones(tmp_path: Path, written: str | None, wanted: dict[str, object]) -> None:
    folder = Folder(tmp_path)
    if written is not None:
        folder.gpus.write_text(written)
    job = parse_job({"attempt": "a", "mode": "docker", "image": "x", "gpus": 2})
    config = container.config(job, folder, devices=folder.gpu_devices())
    assert config["HostConfig"]["DeviceRequests"] == [{"Driver": "", **wanted, "Capabilities": [["gpu"]]}]


def test_one_of_several_nodes_uses_its_machines_network(tmp_path: Path) -> None:
    given = {"attempt": "a", "mode": "docker", "image": "x", "ports": [{"app": 80, "local": 8080}]}
    alone = container.config(parse_job(given), Folder(tmp_path))
    assert alone["HostConfig"]["PortBindings"] and "NetworkMode" not in alone["HostConfig"]
    node = container.config(parse_job({**given, "node": 1, "nodes": ["10.0.0.4", "10.0.0.5"]}), Folder(tmp_path))
    assert node["HostConfig"]["NetworkMode"] == "host" and "PortBindings" not in node["HostConfig"]


def test_a_process_sees_the_leased_gpus(rig: Rig) -> None:
    rig.folder.mkdir()
    (rig.folder / "gpus").write_text("0,2")
    rig.start()
    rig.run("echo $CUDA_VISIBLE_DEVICES", env={"CUDA_VISIBLE_DEVICES": "1"})
    assert rig.log() == b"0,2\n"


def test_only_the_metadata_service_is_closed() -> None:
    assert set(firewall.SERVICES.values()) == {"169.254.169.254", "fd00:ec2::254"}
    words = " ".join(firewall.rule("169.254.169.254"))
    assert "-p tcp" in words and "--ctorigdstport 80 " in words
