"""What a person is told about a wrong file."""

from __future__ import annotations

import pytest

from dstack_cloud.domain import parsing
from tests.unit.domain.reading import FILE, check, problem, problems

TEXTS = [
    ("comands: [x]", "`comands` is an unknown field", "did you mean `commands`?"),
    ("max: 3h", "`max` is an unknown field", "did you mean `max_duration`?"),
    ("depends_on: [x]", "`depends_on` is an unknown field", "did you mean `depends-on`?"),
    ("file: a.py", "`file` is no field of provider bash", "it is a field of python, torchrun, streamlit, gradio, ray"),
    ("version: 3.10", "`version` is no field of provider bash", "write `python`"),
    ("resources: {gpu: {cout: 2}}", "`resources.gpu.cout` is an unknown field", "did you mean `count`?"),
    ("resources: {memory: 16XB}", "`XB` in `16XB` isn't a unit", "units are KB"),
    ("resources: {memory: 16}", "the size `16` has no unit", "write 16GB"),
    ("resources: {cpu: many}", "`resources.cpu` must be a whole number from 1 to 100000, found the text `many`", None),
    ("resources: {max_price: $2}", "`resources.max_price` must be a number of USD per hour", "without the sign"),
    ("resources: {spot_policy: spott}", "must be one of spot, on-demand, auto", "did you mean `spot`?"),
    ("resources: 5", "`resources` must be a mapping, found the number `5`", "its fields: cpu, memory"),
    ("resources: {interruptible: true, spot_policy: auto}", "says the same as `resources.spot_policy`", "keep"),
    ("commands: 5", "must be a list of commands, or one string, found the number `5`", None),
    ("commands: []", "must be a list of commands, or one string, found an empty list", None),
    (
        "commands: ['cat >x <<E', hello, E]",
        "`commands[0]` ends in the middle of a quote, a here-document or a line",
        "- |",
    ),
    ("commands: ['echo \"a', 'b\"']", "`commands[0]` ends in the middle", "one item"),
    ("commands: ['echo a \\', b]", "`commands[0]` ends in the middle", "one item"),
    ("commands: [{echo: hi}]", "`commands[0]` must be a command, found a mapping", "must be in quotes"),
    ("ports: [0]", "`ports[0]` has the port 0; ports go from 1 to 65535", None),
    ("ports: 70000", "`ports` has the port 70000", None),
    ("ports: [80, 80]", "`ports[1]` exposes the port 80, which is exposed above", "remove"),
    ("ports: ['80:81', '82:81']", "wants the local port 81, which is taken above", "choose"),
    ("artifacts: [../x]", "`artifacts[0]`: `../x` leaves the working folder", "inside"),
    ("artifacts: [a/../../x]", "leaves the working folder", "inside"),
    ("artifacts: [/x]", "`artifacts[0]`: `/x` is absolute", "relative"),
    ("cache: [{path: ~/../x}]", "`cache[0].path`: `~/../x` leaves the home folder", "inside"),
    ("cache: [~bob/x]", "is in another user's home folder", "~/"),
    ("cache: [a, ./a/]", "`cache[1]` is there twice", "remove"),
    ("cache: [.]", "`cache[0]` is the whole working folder", "name the folders"),
    ("cache: [{path: a, mount: true}]", "`cache[0].mount` is an unknown field", None),
    (
        "artifacts: [{path: a, mount: maybe}]",
        "`artifacts[0].mount` must be true or false, found the text `maybe`",
        None,
    ),
    ("working_dir: ..", "`working_dir`: `..` leaves the working folder", "inside"),
    ("home_dir: root", "`home_dir`: `root` isn't absolute", "/root"),
    ("provider: bsh", "`provider`: `bsh` isn't one that is known", "did you mean `bash`?"),
    ("provider: xyzzy", "`provider`: `xyzzy` isn't one that is known", "providers: bash, docker, python"),
    ("provider: p.py:P", "`provider`: `p.py:P` isn't one that is known", "`./FILE.py:CLASS`"),
    ("provider: python\nscript: a.py\nfile: b.py", "`file` says the same as `script`", "keep one"),
    ("provider: docker", "the workflow has no `image`, which provider docker needs", "name one"),
    ("provider: bash", "the workflow has no `commands`", "say what to run"),
    ("python: 3.1", "must be a version of Python from 3.8 to 3.13, found the number `3.1`", "did you mean `3.10`?"),
    ("python: 3.11.4", "must be a version of Python", "write `3.11`"),
    ("python: 3.11\nimage: x", "`python` can't be chosen beside `image`", "remove one"),
    ("entrypoint: [x]", "`entrypoint` has no meaning without `image`", "name the image"),
    ("env: [A=1, A=2]", "`env[1]` sets `A`, which is set above", "remove one"),
    ("env: [1A=1]", "`env[0]`: `1A` can't be the name of an environment variable", "letters"),
    ("env: [{A: 1}]", "`env[0]` must be `K=V` or `K`, found a mapping", "leave the `- ` away"),
    ("env: A=1", "`env` must be a list of `K=V` and `K`, or a mapping", "one variable a line"),
    ("env: [A=1]\nenvironment: [B=1]", "`environment` says the same as `env`", "keep one"),
    ("deps: [{tagg: x, workflow: y}]", "`deps[0].tagg` isn't a part of it", "did you mean `tag`?"),
    ("deps: [{workflow: x, tag: y}]", "must have either `workflow` or `tag`", "last finished run"),
    ("deps: ['x:']", "`x:` ends in `:`", "write the tag"),
    ("depends-on: {workflow_s: [x]}", "`depends-on.workflow_s` isn't a part of it", "did you mean `workflows`?"),
    ("depends-on: {repo: {include: [../x]}}", "`depends-on.repo.include[0]`: `../x` leaves", "inside"),
    ("registry_auth: {username: u}\nimage: x", "`registry_auth` has no `password`", "add `password:`"),
    ("max_duration: 2x", "`2x` isn't a duration", "2h"),
    ("ports: ['${{ run.name }}']", "`ports[0]` must be a port", "this can't stand here"),
    ("resources: {memory: '${{ run.name }}'}", "`resources.memory` must be a size", "this can't stand here"),
    ("nodes: 0", "`nodes` must be a whole number from 1 to 1000, found the number `0`", None),
    ("schedule: daily", "`schedule` must be a cron expression of five parts", "@daily"),
    ("sweep: {parameters: {lr: 5}}", "`sweep.parameters.lr` must be a list of values", None),
    ("help: '${{ run.x }}'", "`help` can't be filled in: `${{ run.x }}` names nothing that is known", "what exists"),
    (
        "env: {A: '${{ secret.TOKEN }}'}",
        "`env.A` can't be filled in: `${{ secret.TOKEN }}` names nothing",
        "did you mean `${{ secrets.TOKEN }}`?",
    ),
    (
        "help: '${{ secrets }}'",
        "`help` can't be filled in: `${{ secrets }}` names nothing",
        "name the secret: `${{ secrets.NAME }}`",
    ),
    (
        "help: '${{ run.arg }}'",
        "`help` can't be filled in: `${{ run.arg }}` names nothing",
        "did you mean `${{ run.args }}`?",
    ),
    ("working_dir: ${{ run.name", "`working_dir` can't be filled in: `${{` is never closed", "write"),
]


@pytest.mark.parametrize(("fields", "text", "hint"), TEXTS, ids=[fields for fields, _, _ in TEXTS])
def test_each_problem_has_a_sentence_and_a_way_out(fields: str, text: str, hint: str | None) -> None:
    found = problem(fields)
    assert text in found.text
    assert hint is None or hint in (found.hint or "")
    assert (found.file, found.line >= 2) == (FILE, True)


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("train it", "`name`: `train it` has a space in it", "call it `train-it`, say"),
        ("-train", "`-train` begins with `-`", "call it `train`, say"),
        ("träin", "may hold letters, digits", "call it `tr-in`"),
        (".x", "begins with a letter, a digit or `_`", "call it `x`"),
        ("''", "is empty", "give the workflow a name"),
        ("x" * 101, "has 101 characters", None),
    ],
)
def test_names(name: str, text: str, hint: str | None) -> None:
    found = check(f"workflows: [{{name: {name}, commands: x}}]").problems[0]
    assert text in found.text
    assert hint is None or hint in (found.hint or "")


def test_every_problem_of_every_file_comes_at_once() -> None:
    files = [
        (".dstack/workflows.yaml", "workflows:\n  - name: a b\n    comands: [x]\n    ports: [0, 99999]\n"),
        (".dstack/workflows/more.yaml", "workflows:\n  - commands: x\n"),
        (".dstack/workflows/broken.yaml", "workflows:\n\t- name: x\n"),
        (".dstack/workflows/good.yaml", "workflows:\n  - name: good\n    commands: x\n"),
        (".dstack/variables.yaml", "variables: {global: {a: 1}}"),
    ]
    checked = parsing.check(files)
    places = [(each.file.rpartition("/")[2], each.line, each.column, each.where) for each in checked.problems]
    assert places == [
        ("workflows.yaml", 2, 5, "workflows[0]"),
        ("workflows.yaml", 2, 11, "workflows[0].name"),
        ("workflows.yaml", 3, 5, "workflows[0].comands"),
        ("workflows.yaml", 4, 13, "workflows[0].ports[0]"),
        ("workflows.yaml", 4, 16, "workflows[0].ports[1]"),
        ("broken.yaml", 2, 1, ""),
        ("more.yaml", 2, 5, "workflows[0]"),
    ]
    assert [workflow.name for workflow in checked.workflows] == ["good"]


def test_two_workflows_of_one_name_name_both_places() -> None:
    one = "workflows:\n  - name: a\n    commands: x\n"
    checked = parsing.check([("one.yaml", one), ("two.yaml", "\n" + one)])
    assert checked.workflows == []
    assert [str(each) for each in checked.problems] == [
        "two.yaml:3:11: 2 workflows have the name `a`: one.yaml:2 and two.yaml:3"
    ]


def test_a_lone_mapping_has_no_index() -> None:
    found = check("workflows:\n  name: a\n  commands: x\n  ports: 0\n").problems[0]
    assert (found.where, found.line, found.column) == ("workflows.ports", 4, 10)


def test_values_of_the_environment_are_never_shown() -> None:
    found = problems("env: [{TOKEN: sesame}, 'a b=sesame', [sesame]]")
    assert len(found) == 3
    assert "sesame" not in str(found)


def test_control_characters_of_the_file_do_not_reach_the_terminal() -> None:
    found = problem('provider: "\\e[31mred\\u202e"')
    assert found.text.isprintable()


def test_a_name_waits_while_what_defines_it_has_problems() -> None:
    text = "workflows: [{name: a, commands: 'x ${{ size }} ${{ run.x }}'}]"
    checked = parsing.check([(FILE, text), (".dstack/configs.yaml", "configs: []")])
    assert [(each.file, each.text.partition(":")[0]) for each in checked.problems] == [
        (
            ".dstack/configs.yaml",
            "`configs` must be a mapping from `global` and workflows' names to variables, found an empty list",
        ),
        (FILE, "`commands` can't be filled in"),
    ]
    assert "run.x" in checked.problems[1].text


def test_a_mapping_from_names_to_workflows_is_shown_as_the_list_that_it_must_be() -> None:
    [found] = check("workflows:\n  train:\n    commands: [ls]\n  data:\n    commands: [ls]\n").problems
    assert (found.line, found.text) == (
        2,
        "`workflows` must be a list of workflows, found a mapping from names to workflows",
    )
    assert found.hint == "write `- name: train`, and its fields below `name`"
