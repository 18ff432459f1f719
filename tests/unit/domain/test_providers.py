"""From workflows to jobs."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud.domain import parsing, providers
from dstack_cloud.domain.jobs import Confidential, JobSpec, RegistryAuth, SavedPath
from dstack_cloud.domain.resources import GpuRequirement, Requirements, SpotPolicy
from dstack_cloud.domain.secrets import place
from dstack_cloud.domain.variables import Values
from dstack_cloud.errors import ConfigurationError, NotAvailableYet, NotFound
from tests.unit.domain.reading import check, workflow


def spec(fields: str, args: tuple[str, ...] = (), **overrides: object) -> JobSpec:
    (only,) = providers.job_specs(workflow(fields), Values("shady-1", "shady-1.w", args), overrides=overrides)
    return only


def test_bash_is_the_provider_of_plain_commands() -> None:
    assert spec("commands: [make, ./a.out]\npython: 3.10") == JobSpec(
        workflow="w",
        provider="bash",
        commands=("make", "./a.out"),
        python="3.10",
        requirements=Requirements(python="3.10"),
    )


def test_an_image_makes_it_docker() -> None:
    made = spec("image: python:3.11\nentrypoint: bash -lc 'a b'\ncommands: [x]")
    assert (made.provider, made.image, made.entrypoint) == ("docker", "python:3.11", ("bash", "-lc", "a b"))
    assert made.requirements.image == "python:3.11"


def test_docker_needs_no_commands_and_bash_may_have_an_image() -> None:
    assert spec("provider: docker\nimage: redis").commands == ()
    assert spec("provider: bash\nimage: redis\ncommands: [x]").provider == "bash"


def test_every_field_reaches_the_job() -> None:
    made = spec("""
        working_dir: ./src/
        home_dir: /home/me
        artifacts: ["out/${{ run.name }}", ~/models]
        cache: ~/.cache/pip
        ports: "8000:80"
        max_duration: 2h
        resources: {cpu: 2, memory: 1GB, gpu: T4, shm_size: 1GiB, disk: 5GB, max_price: 0.5, backends: [local]}
    """)
    assert (made.working_dir, made.home_dir, made.max_duration) == ("src", "/home/me", 7200)
    assert made.artifacts == (SavedPath(path="out/shady-1"), SavedPath(path="~/models"))
    assert made.cache == (SavedPath(path="~/.cache/pip"),)
    assert (made.ports[0].app, made.ports[0].local) == (8000, 80)
    assert made.requirements == Requirements(
        cpu=2,
        memory=10**9,
        gpu=GpuRequirement(name="T4"),
        shm_size=2**30,
        disk=5 * 10**9,
        max_price=0.5,
        backends=("local",),
    )


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"))))
def test_each_argument_is_one_word_of_the_shell(args: list[str]) -> None:
    (command,) = spec("commands: ['run ${{ run.args }}']", tuple(args)).commands
    assert shlex.split(command) == ["run", *args]


def test_what_belongs_to_the_shell_stays() -> None:
    made = spec("commands: ['echo $x $$ ${y} $${{ run.args }} ${{ run.name }}']")
    assert made.commands == ("echo $x $$ ${y} ${{ run.args }} shady-1",)


@pytest.mark.parametrize(
    ("fields", "used"),
    [
        ("commands: ['a ${{run.args}}']", True),
        ("env: {A: '${{ run.args }}'}", True),
        ("commands: ['a $${{ run.args }} ${{ run.name }}']", False),
    ],
)
def test_uses_args(fields: str, used: bool) -> None:
    assert providers.uses_args(workflow(fields)) is used


def test_overrides_win() -> None:
    fields = "resources: {gpu: {name: T4, count: 4}, interruptible: true, max_price: 9, backends: [aws]}"
    given = spec(fields, gpu="V100:2", spot_policy="on-demand", max_price=1.5, backends=["local"]).requirements
    assert given.gpu == GpuRequirement(name="V100", count=2)
    assert (given.spot_policy, given.max_price, given.backends) == (SpotPolicy.ON_DEMAND, 1.5, ("local",))
    assert spec(fields).requirements.spot_policy is SpotPolicy.SPOT
    assert spec(fields, gpu="0").requirements.gpu is None


@pytest.mark.parametrize(
    "overrides",
    [{"gpu": "?"}, {"gpu": "1:2"}, {"gpu": ""}, {"gpu": "9999"}, {"max_price": -1.0}, {"max_price": float("nan")}],
)
def test_wrong_overrides(overrides: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        providers.job_specs(workflow(""), Values("shady-1"), overrides=overrides)


def test_an_argument_cannot_lead_a_path_outside() -> None:
    with pytest.raises(ConfigurationError, match="leaves the working folder"):
        spec("artifacts: ['a/${{ run.args }}']", ("../../x",))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ("schedule: '@daily'", "`schedule`"),
        ("sweep: {parameters: {a: [1]}}", "`sweep`"),
        (
            "sweep: {parameters: {a: [1]}}\nschedule: '@daily'",
            "`schedule`, `sweep`, which are not available yet",
        ),
    ],
)
def test_what_is_not_built_is_refused_by_name(fields: str, named: str) -> None:
    with pytest.raises(NotAvailableYet) as caught:
        spec(fields)
    assert named in caught.value.summary


def test_secrets_become_references_and_places() -> None:
    fields = (
        "setup: ['b ${{ secrets.B }}']\ncommands: ['a ${{ secrets.B }} ${{ run.args }}']\nimage: x\n"
        "env: {U: 'u-${{ secrets.A }}'}"
    )
    made = spec(fields, ("$x",))
    assert (made.commands, made.secrets) == (("a \"${B}\" '$x'",), ("A", "B"))
    assert made.setup == ('b "${B}"',)
    given = providers.confidential(workflow(fields), Values("shady-1", "shady-1.w"), {})
    assert given.env == {"JOB_ID": "shady-1.w", "U": f"u-{place('A')}"}


@pytest.mark.parametrize("written", ["$run_name", "${{ run.name }}"])
def test_every_text_may_name_something(written: str) -> None:
    made = spec(f"""
        image: "a/{written}:1"
        entrypoint: ["{written}", "x {written}"]
        commands: ["echo {written}"]
        setup: ["make {written}"]
        working_dir: "src/{written}"
        home_dir: "/home/{written}"
        artifacts: ["out/{written}", {{path: "~/{written}", mount: true}}]
        cache: ["{written}"]
        resources: {{gpu: {{name: "{written}"}}, regions: ["{written}"], instance_types: "{written}"}}
    """)
    name = "shady-1"
    assert (made.image, made.entrypoint) == (f"a/{name}:1", (name, f"x {name}"))
    assert (*made.commands, *made.setup) == (f"echo {name}", f"make {name}")
    assert (made.working_dir, made.home_dir) == (f"src/{name}", f"/home/{name}")
    assert [each.path for each in (*made.artifacts, *made.cache)] == [f"out/{name}", f"~/{name}", name]
    wanted = made.requirements
    assert (wanted.gpu and wanted.gpu.name, wanted.regions, wanted.instance_types) == (name, (name,), (name,))
    login = 'registry_auth: {username: "%s", password: "%s"}\nimage: x\nenv: ["A=%s"]'
    given = providers.confidential(workflow(login % ((written,) * 3)), Values(name, f"{name}.w"), {})
    assert given.registry_auth == RegistryAuth(username=name, password=name)
    assert given.env["A"] == name


def test_retry_false_and_one_node_are_nothing_to_refuse() -> None:
    assert spec("retry: false\nnodes: 1").provider == "bash"


@pytest.mark.parametrize(("field", "seconds"), [("false", 0), ("true", 3600), ("2h", 7200), ("{duration: 90s}", 90)])
def test_for_how_long_a_machine_is_looked_for(field: str, seconds: int | None) -> None:
    assert spec(f"retry: {field}").retry_seconds == seconds


def test_the_environment_of_the_caller_wins() -> None:
    given = workflow("env: [A=1, B, 'C=${{ run.name }}', D]\nimage: x\nregistry_auth: {username: me, password: 0123}")
    assert providers.needs_env(given) == ["B", "D"]
    assert providers.confidential(given, Values("shady-1", "shady-1.w"), {"A": "2", "B": "b"}) == Confidential(
        env={"JOB_ID": "shady-1.w", "A": "2", "B": "b", "C": "shady-1"},
        registry_auth=RegistryAuth(username="me", password="0123"),
    )


@pytest.mark.parametrize("env", [{"A B": "1"}, {"": "1"}, {"A": "\0"}])
def test_what_can_be_no_environment_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        providers.confidential(workflow(""), Values("shady-1"), env)


def test_a_workflow_is_found_by_name() -> None:
    workflows = check("workflows: [{name: train, commands: x}, {name: lab, commands: x}]").workflows
    assert parsing.find(workflows, "lab").name == "lab"
    with pytest.raises(NotFound) as caught:
        parsing.find(workflows, "trian")
    assert caught.value.hint == "did you mean `train`? workflows: train, lab"
    with pytest.raises(NotFound) as caught:
        parsing.find(workflows, "torchrn")
    assert caught.value.hint == "did you mean `torchrun`? workflows: train, lab"
    with pytest.raises(NotFound):
        parsing.find([], "x")
