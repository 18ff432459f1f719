"""`dstack run PROVIDER`: from words to a workflow that the same parser reads as any other."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud.cli import provider_help
from dstack_cloud.cli.provider_words import take, workflow_file
from dstack_cloud.domain import parsing, providers
from dstack_cloud.domain.jobs import JobSpec, PortMapping
from dstack_cloud.domain.variables import Values
from dstack_cloud.errors import UsageError
from dstack_cloud.providers.registry import PROVIDERS


def workflow(line: str, *rest: str) -> tuple[parsing.Workflow, list[str]]:
    """Of `dstack run LINE -- REST`."""
    name, *words = shlex.split(line)
    asked, left = take(name, words)
    file, args = workflow_file(asked, left, rest)
    checked = parsing.check([(file["path"], file["text"])])
    assert checked.problems == []
    return checked.workflows[0], args


def spec(line: str, *rest: str) -> JobSpec:
    found, args = workflow(line, *rest)
    (only,) = providers.job_specs(found, Values("shady-1", "shady-1.w", tuple(args)))
    return only


def refusal(line: str, *rest: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        workflow(line, *rest)
    return caught.value


def test_commands_are_as_they_are_written() -> None:
    assert spec("bash -c 'echo \"$HOME\"; exit 3'").commands == ('echo "$HOME"; exit 3',)


def test_letters_may_stand_together() -> None:
    asked, left = take("bash", ["-dc", "x y"])
    assert (asked.fields, left) == ({"commands": ["x y"]}, ["-d"])


def test_a_script_of_bash_and_an_images_command_keep_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.sh").touch()
    assert spec("bash run.sh 'a b'", "$x", "-d").commands == ("bash run.sh 'a b' '$x' -d",)
    made = spec("docker redis:7 redis-server --appendonly yes", "--port", "80")
    assert (made.image, made.commands) == ("redis:7", ("redis-server --appendonly yes --port 80",))
    assert spec("docker redis:7").commands == ()


def test_what_is_no_option_is_the_programs() -> None:
    made = spec("python train.py --epochs 5 --requirements needs.txt", "--file", "x")
    assert shlex.split(made.commands[-1])[1:] == ["train.py", "--epochs", "5", "--file", "x"]
    assert made.setup[-1].endswith("-r needs.txt")


def test_every_field_reaches_the_workflow() -> None:
    found, _ = workflow(
        "bash -c x --python 3.10 -w src --home-dir /home/me -p 80 -p 8000:81 -a out --artifacts logs --cache ~/.c --deps :v1"
        " --cpu 2 --memory=1GB --disk 5GB --shm-size 1GiB --regions r1 --regions r2 --max-duration 2h --retry true --nodes 1"
    )
    assert (found.name, found.python, found.working_dir, found.home_dir) == ("bash", "3.10", "src", "/home/me")
    assert found.ports == (PortMapping(app=80, local=80), PortMapping(app=8000, local=81))
    assert [each.path for each in found.artifacts] == ["out", "logs"]
    assert (found.resources.cpu, found.resources.memory, found.resources.regions) == (2, 10**9, ("r1", "r2"))
    assert (found.max_duration, found.deps.on[0].tag, found.cache[0].path) == (7200, "v1", "~/.c")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0$"), min_size=1).filter(str.strip))
def test_any_text_stays_what_it_is(text: str) -> None:
    asked, left = take("bash", ["-c", text])
    file, _ = workflow_file(asked, left, [])
    assert parsing.check([(file["path"], file["text"])]).workflows[0].commands == (text,)


@pytest.mark.parametrize(
    ("line", "summary", "hint"),
    [
        ("lab --prots 80", "lab has no option `--prots`", "did you mean `--ports`?"),
        ("lab x", "lab takes no word like `x`", "`dstack run lab -h`"),
        ("python --epochs 5 train.py", "python has no option `--epochs`", ""),
        ("python", "python has nothing to run", "say `dstack run python [OPTIONS] FILE [ARGS]`"),
        ("bash", "bash has nothing to run", "(-c COMMANDS | FILE [ARGS])"),
        ("bash -c", "`-c` has no value", ""),
        ("bash no.sh", "there is no script no.sh here", "`dstack run bash -c no.sh`"),
        ("bash no.sh --working-dir src", "there is no script src/no.sh here", ""),
        ("python a.py -c ls", "python has no option `-c`", "`dstack run python -h`"),
        ("bash -c x -c y", "`-c` is given twice: x and y", ""),
        ("bash -c x --memory -p 80", "`--memory` has no value: `-p` follows it", "`--memory=-p`"),
        ("python a.py b --args c", "the arguments are given twice", "keep one of them"),
    ],
)
def test_what_is_refused(line: str, summary: str, hint: str) -> None:
    refused = refusal(line)
    assert summary in refused.summary
    assert hint in (refused.hint or "")


@pytest.mark.parametrize("name", PROVIDERS)
def test_help_names_every_option(name: str) -> None:
    page = provider_help.page(name)
    assert page.startswith(f"{name}: ")
    assert "--memory" in page
