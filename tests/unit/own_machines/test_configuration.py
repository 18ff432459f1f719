"""What config.yaml says of one's own machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.backends.registry import make_backends
from dstack_cloud.backends.ssh.client import read_facts
from dstack_cloud.backends.ssh.config import SshConfig
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.ssh import keys
from dstack_cloud.ssh.known_hosts import known_keys


def test_defaults_reach_every_machine() -> None:
    config = SshConfig.model_validate(
        {"user": "me", "key": "k", "machines": [{"host": "a"}, {"host": "b", "user": "you", "name": "big"}]}
    )
    assert [(m.name, m.user, m.key) for m in config.machines] == [("a", "me", "k"), ("big", "you", "k")]


@pytest.mark.parametrize(
    ("machines", "words"),
    [
        ([{"host": "a"}, {"host": "a"}], "two machines are called 'a'"),
        ([{"host": "fe80::1"}], "give it a `name`"),
        ([{"host": "a", "host_key": "rubbish"}], "neither a public line"),
        ([{"host": "a", "prot": 22}], "settings.ssh.machines.0.prot"),
        ([{"host": "a", "port": 70000}], "settings.ssh.machines.0.port"),
    ],
)
def test_mistakes_are_named(machines: list[object], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        make_backends(tmp_path, "i", {"ssh": {"machines": machines}}, "")
    assert words in refused.value.summary


def test_a_backend_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no backend 'shh'"):
        make_backends(tmp_path, "i", {"shh": {}}, "")


def test_facts_of_a_machine_with_gpus() -> None:
    facts = read_facts(
        "cpu=64\nmemory_kib=1000\ndisk_kib=5\nroot=yes\ndocker=24.0.5\npython=3.10\n"
        "gpu=NVIDIA A100-SXM4-80GB, 81920\ngpu=Tesla V100-SXM2-16GB, 16384\n"
    )
    assert [(gpu.name, gpu.memory) for gpu in facts.machine.gpus] == [
        ("A100-SXM4-80GB", 81920 * 2**20),
        ("V100-SXM2-16GB", 16384 * 2**20),
    ]
    assert (facts.machine.cpu, facts.root, facts.docker, facts.python) == (64, True, "24.0.5", "3.10")
    with pytest.raises(ValueError, match="memory"):
        read_facts("cpu=3\n")


def test_keys_that_ssh_knows(tmp_path: Path) -> None:
    one, two, revoked = (keys.generate().public.split(" ")[:2] for _ in range(3))
    path = tmp_path / "known_hosts"
    path.write_text(
        f"# mine\nbox,10.0.0.7 {' '.join(one)}\n[box]:2222 {' '.join(two)} me@here\n@revoked old {' '.join(revoked)}\nrubbish\n"
    )
    assert known_keys(path, "10.0.0.7") == (" ".join(one),)
    assert known_keys(path, "box", 2222) == (" ".join(two),)
    assert known_keys(path, "old") == known_keys(path, "other") == known_keys(tmp_path / "none", "box") == ()
