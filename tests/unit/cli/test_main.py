from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dstack_cloud.cli.main import ALIASES, COMMANDS, LATER
from dstack_cloud.version import __version__
from tests.unit.cli.conftest import Backstage, Result

Call = Callable[..., Result]


def test_version(dstack: Call) -> None:
    assert dstack("--version") == (0, f"dstack {__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command_and_none_that_is_not_there(dstack: Call, flag: str) -> None:
    code, out, err = dstack(flag)
    listed = {line.split()[0] for line in out.partition("Commands:")[2].partition("Options:")[0].splitlines() if line}
    assert (code, listed, err) == (0, set(COMMANDS), "")
    assert max(map(len, out.splitlines())) <= 80


def test_no_arguments_shows_help_and_fails(dstack: Call) -> None:
    assert dstack() == (2, "", dstack("-h").out)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("--hlep", "did you mean `dstack --help`?"),
        ("--verison", "did you mean `dstack --version`?"),
        ("rnu", "did you mean `dstack run`?"),
        ("artefacts", "did you mean `dstack artifacts`?"),
        ("zzz", "`dstack --help` lists the commands"),
    ],
)
def test_an_unknown_word(dstack: Call, word: str, hint: str) -> None:
    kind = "option" if word.startswith("-") else "command"
    assert dstack(word) == (2, "", f"error: there is no {kind} `{word}`\nhint: {hint}\n")


@pytest.mark.parametrize("word", sorted(LATER))
def test_what_is_not_built_yet_says_so(dstack: Call, word: str) -> None:
    code, _, err = dstack(word, "--anything")
    assert code == 2
    assert err.startswith(f"error: `dstack {word}` is not available yet\n")


@pytest.mark.parametrize("word", [*COMMANDS, *ALIASES])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help_that_fits(server: Backstage, dstack: Call, word: str, flag: str) -> None:
    server.answers["POST /check"] = {"workflows": [], "problems": [], "warnings": []}
    code, out, _ = dstack(word, flag)
    assert code == 0
    assert out.startswith(f"Usage: dstack {word} ")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["ps", "--vrebose"], "there is no option `--vrebose`\nhint: did you mean `--verbose`?"),
        (["ps", "--last", "x"], "`--last` must be a whole number from 1 to 1000000, found `x`"),
        (["ps", "extra"], "got unexpected extra argument"),
        (["logs"], "missing argument 'RUN|JOB'"),
        (["stop"], "what is to be stopped?\nhint: name a run or job, or say --all"),
        (["stop", "x", "--all"], "what is to be stopped?"),
        (["prune", "cahce"], "no such command 'cahce'"),
        (["prune", "cache"], "whose caches?"),
        (["server", "restart"], "no such command 'restart'"),
    ],
)
def test_a_wrong_command_line(dstack: Call, words: list[str], error: str) -> None:
    code, out, err = dstack(*words)
    assert (code, out) == (2, "")
    assert f"error: {error}".lower() in err.lower()


@pytest.mark.parametrize("word", ["prune", "server", "artifacts"])
def test_a_command_whose_subcommand_is_missing_shows_its_help(dstack: Call, word: str) -> None:
    code, out, err = dstack(word)
    assert (code, out) == (2, "")
    assert err.startswith(f"Usage: dstack {word} ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dstack_cloud", "--help"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 74
    assert done.stderr.startswith("error: can't write the output: No space left on device\n")


def test_output_that_was_closed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dstack_cloud", "--help"]
    done = subprocess.run(["/bin/sh", "-c", '"$@" >&-', "sh", *command], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def dstack_process(folder: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DSTACK_HOME": str(folder / "home"), **variables}
    command = [sys.executable, "-m", "dstack_cloud", *args]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("args", "variables"), [(["--debug"], {}), ([], {"DSTACK_DEBUG": "1"})])
def test_debug_shows_where_an_error_came_from(tmp_path: Path, args: list[str], variables: dict[str, str]) -> None:
    done = dstack_process(tmp_path, "run", *args, "x", **variables)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "error: there is no .dstack folder" in done.stderr


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    command = f"{sys.executable} -m dstack_cloud artifacts -h | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() == "141"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["offers", "--max-price", "abc"], "`--max-price` must be a number, 0 or more, found `abc`"),
        (["offers", "--max-price", "-1"], "`--max-price` must be a number, 0 or more, found `-1.0`"),
        (["ps", "-n", "0"], "`--last` must be a whole number from 1 to 1000000, found `0`"),
        (["ps", "-n", "many"], "`--last` must be a whole number from 1 to 1000000, found `many`"),
    ],
)
def test_a_number_out_of_range_is_told_in_plain_words(dstack: Call, words: list[str], told: str) -> None:
    code, _, err = dstack(*words)
    assert (code, err.splitlines()[0]) == (2, f"error: {told}")
