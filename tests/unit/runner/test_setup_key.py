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
    "lists/all.txt": "# all\n./package\n-c ../more/base.txt\n",
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
        ("pip install -rrequirements.txt -e$PWD/package", ["requirements.txt", "more/base.txt", "package"]),
        ("pip install file:package file://${PWD}/more", ["more", "package"]),
        ("pip install -r more/../a.sh", ["a.sh"]),
        ("cd more && sh ../a.sh; cat ../b*", ["more", "a.sh", "b.sh"]),
        ("pip install -r lists/all.txt", ["lists/all.txt", "package", "more/base.txt"]),
        ("ls -r -e", []),
        ("cat *.sh", ["a.sh", "b.sh"]),
        ("cat /etc/passwd ../x ~/y $HOME 'a\tb' \0", []),
    ],
)
def test_the_files_that_commands_name(work: Path, command: str, named: list[str]) -> None:
    assert named_files((command,), work, work) == {work / name for name in named}


def test_the_working_folder_above_the_one_where_they_start(work: Path) -> None:
    assert named_files(("sh ../a.sh ../*.sh ../../x",), work / "more", work) == {work / "a.sh", work / "b.sh"}


@pytest.mark.parametrize("command", ["pip install .", "cp -r . $VIRTUAL_ENV; ls package"])
def test_what_jobs_make_does_not_count_where_a_folder_around_it_is_named(work: Path, command: str) -> None:
    made = {"caches": ["./data/"], "artifacts": ["package/out", "."], "deps": [["from/another/job"]]}
    before = key(work, command, **made)
    for path in ("data/x", "package/out/x", "from/another/job/x"):
        (work / path).parent.mkdir(parents=True)
        (work / path).touch()
        assert key(work, command, **made) == before
    (work / "from/x").touch()
    assert (key(work, command, **made) == before) is ("." not in command.split())


def test_what_jobs_make_counts_where_it_is_named_itself_but_not_in_caches(work: Path) -> None:
    before = [key(work, "cat package/setup.py", **{field: ["package"]}) for field in ("artifacts", "caches")]
    (work / "package/setup.py").write_text("other\n")
    after = [key(work, "cat package/setup.py", **{field: ["package"]}) for field in ("artifacts", "caches")]
    assert before[0] != after[0] and before[1] == after[1]


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


def test_the_home_folder_counts_in_a_container(work: Path) -> None:
    keys = {
        key(work, "true", mode=mode, image="x", home_dir=home)
        for mode in ("docker", "process")
        for home in ("/a", "/b")
    }
    assert len(keys) == 3


def test_variables_that_are_not_named_and_secrets_do_not_count(work: Path) -> None:
    one = key(work, "echo $A ${SECRET}", env={"A": "1", "B": "1", "SECRET": "1"}, secrets={"SECRET": "1"})
    assert key(work, "echo $A ${SECRET}", env={"A": "1", "SECRET": "2"}, secrets={"SECRET": "2"}) == one
