"""What makes a setup another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload.job import parse_job
from dstack_cloud.runner_bootstrap.payload.setup_key import key_of, named_files

FILES = {
    "requirements.txt": "six\n-r more/base.txt\n./package\n",
    "more/base.txt": "attrs\n",
    "package/setup.py": "x\n",
    "package/deep/module.py": "x\n",
    "a.sh": "x\n",
    "b.sh": "x\n",
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def key(work: Path, command: str, base: str = "image", **fields: object) -> str:
    job = {"attempt": "a-1", "mode": "process", "setup": [command], "setup_salt": "salt", **fields}
    return key_of(parse_job(job), work, base)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("pip install -r requirements.txt", ["requirements.txt", "more/base.txt", "package"]),
        ("pip install --requirement=./more/base.txt", ["more/base.txt"]),
        ('cd more && cat "base.txt"; sh ./a.sh', ["more", "a.sh"]),
        ("pip install -e '.[dev]'", ["."]),
        ("pip install ./package[dev]", ["package"]),
        ("cat *.sh", ["a.sh", "b.sh"]),
        ("cat /etc/passwd ../x ~/y $HOME 'a\tb' \0", []),
    ],
)
def test_the_files_that_commands_name(work: Path, command: str, named: list[str]) -> None:
    assert named_files((command,), work) == {work / name for name in named}


@pytest.mark.parametrize(
    ("command", "changed", "counts"),
    [
        ("pip install -r requirements.txt", "more/base.txt", True),
        ("pip install -r requirements.txt", "package/deep/module.py", True),
        ("pip install -r requirements.txt", "a.sh", False),
        ("pip install .", "package/new", True),
        ("./a.sh", "b.sh", False),
    ],
)
def test_their_contents_count(work: Path, command: str, changed: str, counts: bool) -> None:
    before = key(work, command)
    assert key(work, command) == before
    (work / changed).write_text("something else\n")
    assert (key(work, command) != before) is counts


def test_a_program_that_may_now_be_run_is_another(work: Path) -> None:
    before = key(work, "./a.sh")
    (work / "a.sh").chmod(0o755)
    assert key(work, "./a.sh") != before


@pytest.mark.parametrize(
    "other",
    [
        {"base": "another"},
        {"setup_salt": "another"},
        {"working_dir": "more"},
        {"env": {"A": "2", "B": "1", "SECRET": "1"}},
        {"mode": "docker", "image": "x"},
    ],
)
def test_what_else_counts(work: Path, other: dict[str, object]) -> None:
    given = {"env": {"A": "1", "B": "1", "SECRET": "1"}, "secrets": {"SECRET": "1"}}
    assert key(work, "echo $A ${SECRET}", **given) != key(work, "echo $A ${SECRET}", **{**given, **other})  # type: ignore[arg-type]


def test_variables_that_are_not_named_and_secrets_do_not_count(work: Path) -> None:
    one = key(work, "echo $A ${SECRET}", env={"A": "1", "B": "1", "SECRET": "1"}, secrets={"SECRET": "1"})
    assert key(work, "echo $A ${SECRET}", env={"A": "1", "SECRET": "2"}, secrets={"SECRET": "2"}) == one
