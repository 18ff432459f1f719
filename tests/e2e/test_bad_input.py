"""Each mistake gets a clear error and exit code 2, and nothing is left behind."""

import pytest

from tests.e2e import own_vm
from tests.e2e.conftest import User

GOOD = "workflows: {name: train, provider: bash, commands: [echo ok]}"


def refused(user: User, *args: str, says: str) -> None:
    answer = user(*args, code=2)
    assert says in answer.err + answer.text, answer.err + answer.text
    assert "Traceback" not in answer.err
    assert user.runs() == []


def test_no_dstack_folder(visitor: User) -> None:
    refused(visitor, "run", "train", says=".dstack")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workflows:\n  - name: train\n    commands: [a\n  oops", "workflows.yaml:"),
        ("workflows: {name: train, provider: bash, comands: [a]}", "commands"),
        ("workflows: {name: train, provider: bsh, commands: [a]}", "bash"),
        ("workflows: {name: train, provider: bash, commands: 7}", "commands"),
        ("workflows: {name: train, provider: bash, commands: [a], resources: {memory: 16XB}}", "16XB"),
        ("workflows: {name: train, provider: bash, commands: [a], ports: [0]}", "0"),
        ("workflows: {name: train, provider: bash, commands: [a], ports: [70000]}", "70000"),
        ("workflows: {name: train, provider: bash, commands: [a], ports: [8000, 8000]}", "8000"),
        ("workflows: {name: train, provider: bash, commands: [a], artifacts: [../x]}", "../x"),
        ("workflows: {name: train, provider: bash, commands: [a], artifacts: [/etc]}", "/etc"),
        ("workflows: {name: train, provider: bash, commands: [a], cache: [../x]}", "../x"),
        ("workflows: {name: 'my train', provider: bash, commands: [a]}", "my train"),
        ("workflows: {name: -train, provider: bash, commands: [a]}", "-train"),
        ("workflows: {name: train, provider: bash, commands: [a], python: 2.7}", "2.7"),
    ],
)
def test_a_bad_file(visitor: User, text: str, says: str) -> None:
    visitor.workflows(text)
    refused(visitor, "run", "train", says=says)
    assert visitor("validate", code=2)


@pytest.mark.parametrize(
    "words",
    [("untag", ""), ("attach", ""), ("tag", "", "v"), ("rm", "", "-y"), ("resume", ""), ("restart", ""), ("logs", ""),
     ("artifacts", ""), ("stop", "", "-y"), ("logs", "a/b")],
)  # fmt: skip
def test_an_empty_name(visitor: User, words: tuple[str, ...]) -> None:
    refused(visitor, *words, says="the name is empty" if "" in words else "a/b is no name")


def test_two_workflows_of_one_name_name_both_files(visitor: User) -> None:
    visitor.workflows(GOOD)
    visitor.write(".dstack/workflows/more.yaml", GOOD)
    refused(visitor, "run", "train", says="more.yaml")


def test_an_unknown_workflow_gets_the_nearest(visitor: User) -> None:
    visitor.workflows(GOOD)
    refused(visitor, "run", "trian", says="train")


def test_an_unknown_option_launches_nothing(visitor: User) -> None:
    visitor.workflows(GOOD)
    refused(visitor, "run", "train", "--detatch", says="--detach")


def test_a_field_of_a_later_version_is_refused_not_ignored(visitor: User) -> None:
    visitor.workflows("workflows: {name: train, provider: bash, commands: [a], schedule: '0 3 * * *'}")
    refused(visitor, "run", "train", says="not available yet")


def test_nodes_that_could_not_reach_each_other(visitor: User) -> None:
    visitor.workflows(
        "workflows: [{name: train, nodes: 2, commands: [ls]}, {name: train.1, commands: [ls], deps: [train]}]"
    )
    refused(visitor, "run", "train", says="no network in which 2 machines reach each other")
    refused(visitor, "run", "train.1", says="node 1 of `train` would be called `train.1`")


def test_nodes_on_machines_of_your_own(user: User) -> None:
    """Nobody is asked who they are."""
    own_vm.write(user, [{"name": "big", "host": "127.0.0.1", "port": 1, "user": "me"}])
    user.workflows("workflows: {name: train, nodes: 2, commands: [ls]}")
    refused(user, "run", "train", says="no network in which 2 machines reach each other")
    user.workflows("workflows: {name: train, nodes: 0, commands: [ls]}")
    refused(user, "run", "train", says="`nodes` must be a whole number from 1 to 1000, found the number `0`")


def test_dependencies_that_can_not_be(visitor: User) -> None:
    visitor.workflows("workflows: [{name: a, commands: [ls], deps: [b]}, {name: b, commands: [ls], deps: [a, c]}]")
    said = visitor("validate", code=2).text
    assert "`a` depends on itself: a → b → a" in said
    assert "`b` depends on `c`" in said


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("provider: python, file: tain.py", "`train` needs tain.py"),
        ("provider: python, file: train.py, requirements: r.txt", "needs r.txt"),
        ("provider: python, file: train.py, working_dir: src", "needs src,"),
        ("commands: [ls], working_dir: src", "needs src,"),
    ],
)
def test_a_file_that_is_not_there(visitor: User, rest: str, says: str) -> None:
    visitor.write("train.py", "")
    visitor.workflows(f"workflows: {{name: train, {rest}}}")
    refused(visitor, "run", "train", says=says)
    refused(visitor, "run", "train", "--dry-run", says=says)


def test_a_path_through_a_symlink_out_of_the_folder(visitor: User) -> None:
    visitor.workflows("workflows: {name: train, provider: bash, commands: [a], artifacts: [out/x]}")
    (visitor.folder / "out").symlink_to(visitor.home.parent)
    refused(visitor, "run", "train", says="out")


def test_a_missing_interpreter_version(user: User) -> None:
    # a computer on which no version manager keeps a 3.8
    user.env |= {"HOME": str(user.home.parent), "PATH": "/usr/bin:/bin"}
    user.workflows("workflows: {name: train, provider: bash, python: 3.8, commands: [a]}")
    refused(user, "run", "train", says="3.8")


def test_a_docker_workflow_without_docker_says_what_to_install(visitor: User) -> None:
    visitor.workflows("workflows: {name: train, image: 'x:1', commands: [a]}")
    refused(visitor, "run", "train", says="Docker")


def test_running_in_the_home_folder(visitor: User) -> None:
    visitor.workflows(GOOD)
    visitor.env["HOME"] = str(visitor.folder)
    refused(visitor, "run", "train", says="home folder")


def test_a_big_folder_asks_first(visitor: User) -> None:
    visitor.workflows(GOOD)
    with (visitor.folder / "huge.bin").open("wb") as file:
        file.truncate(3 * 2**30)
    refused(visitor, "run", "train", says="huge.bin")


@pytest.mark.parametrize("args", [("logs", "nosuch-1"), ("stop", "nosuch-1", "-y"), ("artifacts", "nosuch-1")])
def test_a_run_that_does_not_exist(visitor: User, args: tuple[str, ...]) -> None:
    refused(visitor, *args, says="nosuch-1")


@pytest.mark.parametrize(("args", "says"), [(("--hlep",), "--help"), (("rnu",), "run"), (("ps", "--jsno"), "--json")])
def test_typing_mistakes(visitor: User, args: tuple[str, ...], says: str) -> None:
    answer = visitor(*args, code=2)
    assert says in answer.err
