"""What each provider's options come down to, and what is refused of them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from dstack_cloud.domain import providers
from dstack_cloud.domain.jobs import JobSpec, PortMapping
from dstack_cloud.domain.parsing.known import DESCRIBED
from dstack_cloud.domain.variables import Values
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.providers.base import Given
from dstack_cloud.providers.description import describe
from dstack_cloud.providers.ray import Ray
from dstack_cloud.providers.registry import PROVIDERS
from dstack_cloud.providers.torchrun import Torchrun
from tests.unit.domain.reading import problem, workflow

ENOUGH = {
    "file": "app.py",
    "app": "main:app",
    "logdir": "logs",
    "url": "https://x.org/a.bin",
    "image": "x",
    "commands": "x",
}
# where one of several must be there
CHOSEN = {"ray": ["file"]}


def spec(fields: str, *args: str) -> JobSpec:
    (only,) = providers.job_specs(workflow(fields), Values("shady-1", "shady-1.w", args))
    return only


def enough(name: str, but: str = "") -> str:
    """The fields that a provider needs."""
    described = DESCRIBED[name]
    wanted = [
        *described.needs,
        *CHOSEN.get(name, ()),
        *(key for key, option in described.options.items() if option.required),
    ]
    return "\n".join([f"provider: {name}", *(f"{key}: {ENOUGH[key]}" for key in wanted if key != but)])


@pytest.mark.parametrize("name", DESCRIBED)
def test_what_it_needs_is_enough(name: str) -> None:
    made = spec(enough(name))
    assert made.provider == name
    assert [port.app for port in made.ports] == [port for port in [DESCRIBED[name].port] if port]


@pytest.mark.parametrize(
    ("name", "missing"),
    [(name, key) for name, each in DESCRIBED.items() for key, option in each.options.items() if option.required],
)
def test_what_it_needs_must_be_there(name: str, missing: str) -> None:
    found = problem(enough(name, but=missing))
    assert found.text == f"the workflow has no `{missing}`, which provider {name} needs"
    assert found.hint and found.hint.startswith(f"add `{missing}:`")


@pytest.mark.parametrize("name", DESCRIBED)
def test_it_says_what_it_is(name: str) -> None:
    described = describe(PROVIDERS[name])
    assert described.summary.endswith(".")
    assert all(option.description.endswith(".") for option in described.options.values())


@pytest.mark.parametrize("name", [name for name, each in DESCRIBED.items() if "commands" not in each.takes])
def test_commands_beside_a_program_are_refused(name: str) -> None:
    found = problem(f"{enough(name)}\ncommands: [x]")
    assert found.text == f"`commands` has no meaning with provider {name}"


def test_python_beside_an_image_is_refused_with_every_provider() -> None:
    assert "can't be chosen beside `image`" in problem("provider: lab\nimage: x\npython: 3.11").text


def test_a_script_with_exact_arguments() -> None:
    made = spec("provider: python\nscript: a b.py\nargs: --x 'y z' ${{ run.args }}\nversion: 3.10", "1 2", "$HOME")
    assert shlex.split(made.commands[-1])[1:] == ["a b.py", "--x", "y z", "1 2", "$HOME"]
    assert (made.python, made.installs) == ("3.10", False)


def test_arguments_in_a_list() -> None:
    made = spec(
        "provider: python\nfile: a.py\nargs: [--lr, 0.00002, '${{ run.args }}', '${{ run.name }}.txt']", "1 2", "3"
    )
    assert shlex.split(made.commands[-1])[2:] == ["--lr", "0.00002", "1 2", "3", "shady-1.txt"]


def test_requirements_come_first() -> None:
    made = spec("provider: python\nfile: a.py\nrequirements: needs.txt")
    assert made.setup[-1].endswith("-r needs.txt")
    assert made.installs
    assert not spec("provider: python\nfile: a.py").setup


def test_the_workflow_chooses_the_port() -> None:
    made = spec("provider: streamlit\nfile: a.py\nports: ['9000:8501', 9001]")
    assert "--server.port=9000" in made.commands[-1]
    assert made.ports == (PortMapping(app=9000, local=8501), PortMapping(app=9001, local=9001))


def test_torchrun_on_one_machine_takes_a_free_port() -> None:
    made = spec("provider: torchrun\nfile: a b.py\nargs: --lr 0.1 ${{ run.args }}\nnproc_per_node: 3", "$HOME")
    words = shlex.split(made.commands[-1])[1:]
    assert words[:4] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=3"]
    assert words[4:] == ["a b.py", "--lr", "0.1", "$HOME"]
    assert made.installs


@pytest.mark.parametrize(
    ("output", "becomes"),
    [("", "a b.bin"), ("data", "data"), ("data/", "data/a b.bin"), ("./", "a b.bin"), (".", "a b.bin"), ("$run_name/", "shady-1/a b.bin")],
)  # fmt: skip
def test_where_a_download_goes(output: str, becomes: str) -> None:
    made = spec(f"provider: curl\nurl: https://x.org/a%20b.bin\noutput: {output}")
    assert made.commands[0].startswith(f"( set -- {shlex.join(['https://x.org/a%20b.bin', becomes])}\n")


@pytest.mark.parametrize(("gpus", "processes"), [("", "1"), ("0", "1"), ("4", "4")])
def test_torchrun_on_several_machines_finds_the_first_by_the_environment(gpus: str, processes: str) -> None:
    words = Torchrun(file="a.py").program(Given("w", nodes=2)).commands[-1]
    place = {"DSTACK_NODES_NUM": "2", "DSTACK_NODE_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
    done = subprocess.run(
        ["bash", "-c", f"python=echo\n{words}"],
        env={**place, "DSTACK_GPUS_PER_NODE": gpus}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        f"-m torch.distributed.run --nnodes=2 --node_rank=1 --nproc_per_node={processes}"
        " --master_addr=10.0.0.1 --master_port=29500 a.py\n"
    )


def test_ray_runs_a_script_or_commands_with_the_clusters_address() -> None:
    script = spec("provider: ray\nfile: a b.py\nargs: --x ${{ run.args }}\nports: 9000", "1 2")
    assert shlex.split(script.commands[-1])[1:] == ["a b.py", "--x", "1 2"]
    assert "--dashboard-port=9000" in script.commands[-2]
    commands = spec("provider: ray\ncommands: [ray status, exit 3]")
    assert commands.commands[-2:] == ("ray status", "exit 3")
    assert any(command.startswith("export RAY_ADDRESS=") for command in commands.commands)


@pytest.mark.parametrize(("rank", "joins"), [("0", False), ("1", True)])
def test_every_node_of_a_ray_cluster_but_the_first_joins_it(rank: str, joins: bool) -> None:
    commands = Ray(file="a.py").program(Given("w", nodes=2, port=8265)).commands
    address, join, _, _ = commands[-4:]
    place = {"DSTACK_NODE_RANK": rank, "DSTACK_NODES_IPS": "10.0.0.1\n10.0.0.2", "MASTER_ADDR": "10.0.0.1"}
    done = subprocess.run(
        ["bash", "-c", f"PATH={os.environ['PATH']}\npython=echo\n{address}\n{join}\necho it goes on"],
        env={**place, "MASTER_PORT": "29500"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ("--address=10.0.0.1:29500 --node-ip-address=10.0.0.2" in done.stdout) is joins
    assert ("it goes on" in done.stdout) is not joins


@pytest.mark.parametrize("name", [name for name, each in DESCRIBED.items() if "nodes" not in each.takes])
def test_several_nodes_are_refused_where_one_program_answers(name: str) -> None:
    assert problem(f"{enough(name)}\nnodes: 2").text == f"`nodes` has no meaning with provider {name}"
    assert workflow(f"{enough(name)}\nnodes: 1").nodes == 1


@pytest.mark.parametrize(("name", "page"), [("lab", "/lab"), ("notebook", "/tree")])
def test_a_page_with_a_token_that_is_in_no_command(name: str, page: str) -> None:
    made = spec(f"provider: {name}")
    assert made.ports == (PortMapping(app=8888, local=8888, page=page, token="JUPYTER_TOKEN"),)
    assert "token" not in " ".join(made.commands).lower()


def test_code_has_an_address_of_its_own_form() -> None:
    made = spec("provider: code\nports: '3000:4000'")
    assert made.ports == (PortMapping(app=3000, local=4000, page="/", token="VSCODE_TOKEN", token_in="tkn"),)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("provider: fastapi\napp: main", "`app` must be module:name, such as `main:app`; it is `main`"),
        (
            "provider: torchrun\nfile: a.py\nnproc_per_node: 0",
            "a number from 1 up, or one of gpu, cpu, auto; it is `0`",
        ),
        ("provider: ray", "it has neither `file` nor `commands`"),
        ("provider: ray\nfile: a.py\ncommands: x", "it has both `file` and `commands`: keep one of them"),
        ("provider: ray\ncommands: x\nargs: y", "`args` are for a `file`, and there is none"),
        ("provider: curl\nurl: x.org/a", "`url` must begin with http://, https://, ftp://"),
        ("provider: curl\nurl: https://x.org/", "ends in no file's name: say where to put it with `output`"),
    ],
)
def test_options_that_make_no_sense(fields: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        spec(fields)
    assert told in caught.value.summary


def test_an_argument_leads_no_option_outside() -> None:
    with pytest.raises(ConfigurationError, match="leaves the working folder"):
        spec("provider: python\nfile: 'a/${{ run.args }}'", "../../x")


@pytest.mark.parametrize("name", DESCRIBED)
def test_its_commands_are_bash(name: str, tmp_path: Path) -> None:
    made = spec(enough(name))
    text = "\n".join((*made.setup, *made.commands))
    done = subprocess.run(["bash", "-n", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
