from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.unix_http import Reply
from tests.unit.cli import views
from tests.unit.cli.conftest import Backstage, Result

Call = Callable[..., Result]


def story(*frames: dict[str, Any] | bytes) -> Reply:
    parts = [
        json.dumps({"type": "log", "job": "train", "size": len(frame)}).encode() + b"\n" + frame
        if isinstance(frame, bytes)
        else json.dumps({"type": "run", "run": frame}).encode() + b"\n"
        for frame in frames
    ]
    return Reply(chunks=parts)


def ready(server: Backstage, *frames: Any) -> Backstage:
    """A server that plans, knows the code, takes the run and tells `frames` of it."""
    server.answers |= {
        "POST /plan": views.plan(),
        "POST /runs": views.run("submitted"),
        "GET /runs/shady-1/follow": story(*frames),
    }
    sources = {"HEAD", "PUT"}
    known = server.answers
    server.answers = _WithCode(known, sources)
    return server


class _WithCode(dict[str, Any]):
    """Any question about code is answered with 200."""

    def __init__(self, known: dict[str, Any], methods: set[str]) -> None:
        super().__init__(known)
        self.methods = methods

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or str(name).split()[0] in self.methods

    def __missing__(self, name: str) -> Reply:
        return Reply(200, b"{}")


def test_the_log_goes_to_stdout_and_all_else_to_stderr(server: Backstage, dstack: Call) -> None:
    ready(server, views.run("provisioning", message="pulling"), views.run(), b"hi\n\xff", views.run("done", 0))
    assert dstack("run", "train") == (
        0,
        "hi\n\\xff",
        "RUN      WORKFLOW  SUBMITTED  STATUS     TAG\n"
        "shady-1  train     5 min ago  submitted  -\n"
        "provisioning: pulling\n"
        "shady-1 done (5m 10s, $0.25)\n",
    )


@pytest.mark.parametrize(
    ("status", "exit_code", "code"),
    [
        ("done", 0, 0),
        ("failed", 3, 3),
        ("failed", None, 1),
        ("failed", 0, 1),
        ("stopped", 143, 130),
        ("aborted", None, 130),
    ],
)
def test_the_exit_code_is_the_jobs_own(
    server: Backstage, dstack: Call, status: str, exit_code: int | None, code: int
) -> None:
    ready(server, views.run(status, exit_code))
    result = dstack("run", "train")
    assert result.code == code
    assert result.err.splitlines()[-1].startswith(f"shady-1 {status}")


def test_what_is_asked_for(server: Backstage, dstack: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    ready(server)
    server.answers["POST /plan"] = views.plan(needs_env=["TOKEN"])
    words = "--backend local --spot --max-price 2.5 --gpu V100 -e A=1=2 -e TOKEN run -d -t best --lr 0.1 -x file -- -d --tag"
    assert dstack("run", *words.replace("run", "train").split()) == (0, "shady-1\n", "")
    (body,) = server.bodies("POST /runs")
    assert body["overrides"] == {"backends": ["local"], "spot_policy": "spot", "max_price": 2.5, "gpu": "V100"}
    assert body["args"] == ["--lr", "0.1", "-x", "file", "-d", "--tag"]
    assert (body["workflow"], body["tag"], body["env"]) == ("train", "best", {"A": "1=2", "TOKEN": "s3cret"})
    assert body["files"] == [{"path": ".dstack/workflows.yaml", "text": "workflows: []\n"}]
    assert body["code"]["files"] == 1


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["train", "--detatch"], "there is no option `--detatch`\nhint: did you mean `--detach`?"),
        (["train", "--dettach"], "there is no option `--dettach`"),
        (["train", "--on-demnad"], "did you mean `--on-demand`?"),
        (["--lr", "0.1", "train"], "there is no option `--lr`"),
        (["train", "-e", "1A=x"], "-e 1A=x: `1A` is no name of a variable"),
        (["train", "-e", "NOT_SET_HERE"], "-e NOT_SET_HERE: NOT_SET_HERE isn't set here"),
        (["train", "--max-price", "-1"], "`--max-price` must be a number, 0 or more, found `-1.0`"),
    ],
)
def test_a_slip_starts_nothing(server: Backstage, dstack: Call, words: list[str], error: str) -> None:
    code, _, err = dstack("run", *words)
    assert code == 2
    assert f"{error}" in err
    assert not server.bodies("POST /plan")


def test_behind_two_dashes_any_word_is_for_the_workflow(server: Backstage, dstack: Call) -> None:
    ready(server)
    assert dstack("run", "train", "-d", "--", "--detatch").code == 0
    assert server.bodies("POST /runs")[0]["args"] == ["--detatch"]


def test_what_the_plan_refuses_starts_nothing(server: Backstage, dstack: Call) -> None:
    problem = {
        "file": ".dstack/workflows.yaml",
        "line": 3,
        "column": 5,
        "where": "x",
        "text": "unknown field `a`",
        "hint": "did you mean `b`?",
    }
    view = {
        "code": "ConfigurationError",
        "summary": "a problem in the workflow files",
        "hint": None,
        "problems": [problem],
    }
    server.answers["POST /plan"] = Reply(400, json.dumps(view).encode())
    assert dstack("run", "train") == (
        2, "", ".dstack/workflows.yaml:3:5: unknown field `a` (did you mean `b`?)\nerror: a problem in the workflow files\n"
    )  # fmt: skip
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_a_variable_that_is_not_set_is_told(server: Backstage, dstack: Call) -> None:
    ready(server)
    server.answers["POST /plan"] = views.plan(needs_env=["NOT_SET_HERE", "GIVEN"])
    code, _, err = dstack("run", "train", "-d", "-e", "GIVEN=1")
    assert (code, err.partition(" (")[0]) == (0, "warning: NOT_SET_HERE isn't set here, so the job doesn't get it")
    assert server.bodies("POST /runs")[0]["env"] == {"GIVEN": "1"}


def test_paths_that_leave_through_a_link(server: Backstage, dstack: Call, folder: Path) -> None:
    (folder / "out").symlink_to("/")
    server.answers["POST /plan"] = views.plan(paths=["out/x"])
    code, _, err = dstack("run", "train")
    assert code == 2
    assert "the path out/x leads out of the working folder" in err


def test_a_large_folder_needs_a_yes(server: Backstage, dstack: Call, folder: Path) -> None:
    ready(server)
    with (folder / "big.bin").open("wb") as file:
        file.truncate(3 << 30)
    code, _, err = dstack("run", "train")
    assert code == 2
    assert "The working folder has 3.0 GiB. The largest entries:" in err
    assert "3.0 GiB  big.bin" in err
    assert "-y answers with yes" in err


def test_dry_run(server: Backstage, dstack: Call) -> None:
    server.answers["POST /plan"] = views.plan()
    code, out, err = dstack("run", "train", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "job train: bash",
        "BACKEND  REGION  TYPE   RESOURCES  KIND         PRICE",
        "local    -       local  2 CPUs     on-demand  $0.00/h",
        "nothing was started (--dry-run)",
    ]


def test_json_is_all_of_stdout(server: Backstage, dstack: Call) -> None:
    ready(server, b"hi\n", views.run("done", 0))
    code, out, err = dstack("run", "--json", "train")
    assert (code, json.loads(out)["status"]) == (0, "done")
    assert "hi\n" in err


def workflow(name: str) -> dict[str, Any]:
    return {"name": name, "help": f"{name}s it", "provider": "bash", "file": ".dstack/workflows.yaml", "line": 2}


def test_without_a_name_the_workflows_are_listed(server: Backstage, dstack: Call) -> None:
    server.answers["POST /check"] = {"workflows": [workflow("train"), workflow("test")], "problems": [], "warnings": []}
    table = [
        "WORKFLOW  PROVIDER  HELP      FILE",
        "train     bash      trains it  .dstack/workflows.yaml",
        "test      bash      tests it   .dstack/workflows.yaml",
    ]
    code, out, _ = dstack("run")
    assert (code, [line.split() for line in out.splitlines()]) == (0, [line.split() for line in table])
    assert out in dstack("run", "-h").out


def test_help_of_a_workflow(server: Backstage, dstack: Call) -> None:
    server.answers["POST /workflow"] = views.workflow(batch__size="64", g_model="124M")
    for words in (("train", "--help"), ("train", "-h"), ("-h", "train")):
        code, out, _ = dstack("run", *words)
        assert (code, out.splitlines()[0]) == (0, "train: no help given")
        assert out.split("Variables:\n")[1].splitlines()[:3] == [
            "  --batch-size  default is 64",
            "  --model       default is 124M (global)",
            "",
        ]


def test_variables_are_told_from_options_and_arguments(server: Backstage, dstack: Call) -> None:
    ready(server)
    server.answers["POST /workflow"] = views.workflow(batch__size="64", gpu="a", lr="1")
    words = ["--gpu", "2", "train", "--batch_size=32", "-d", "--gpu", "big one", "--lr", "-0.1", "--x", "--", "--lr"]
    assert dstack("run", *words).code == 0
    (body,) = server.bodies("POST /runs")
    assert body["variables"] == {"batch-size": "32", "gpu": "big one", "lr": "-0.1"}
    assert (body["overrides"], body["args"]) == ({"gpu": "2"}, ["--x", "--lr"])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--lr"], "`--lr` has no value\nhint: say `--lr VALUE`"),
        (["--lr", "--", "5"], "`--lr` has no value"),
        (["--lr", "-d"], "`--lr` has no value: `-d` follows it"),
        (["--batch-size", "1", "--batch_size=2"], "`--batch_size` is given twice: 1 and 2"),
        (["--epohcs", "5"], "there is no option `--epohcs`\nhint: did you mean `--epochs`?"),
        (["--detetch"], "did you mean `--detach`?"),
        (["--momentum", "1"], "doesn't use ${{ run.args }}, and its variables: --lr, --batch-size, --epochs"),
    ],
)
def test_wrong_variables_start_nothing(server: Backstage, dstack: Call, words: list[str], error: str) -> None:
    ready(server)
    server.answers["POST /workflow"] = views.workflow(takes_args=False, lr="1", batch__size="64", epochs="3")
    code, _, err = dstack("run", "train", *words)
    assert (code, error in err) == (2, True), err
    assert not server.bodies("POST /plan")


@pytest.mark.parametrize(
    "before", [["-e", "A=1"], ["-dt", "best"], ["-tbest"], ["--max-price=2", "--spot"], ["--json"]]
)
def test_the_name_is_found_behind_options(server: Backstage, dstack: Call, before: list[str]) -> None:
    ready(server)
    server.answers["POST /workflow"] = views.workflow(lr="1")
    assert dstack("run", *before, "train", "--lr", "2", "-d").code == 0
    assert server.bodies("POST /runs")[0]["variables"] == {"lr": "2"}


def test_words_behind_dashes_need_a_workflow_before_them(server: Backstage, dstack: Call) -> None:
    code, out, err = dstack("run", "--", "train")
    assert (code, out) == (2, "")
    assert err.startswith("error: no workflow is named before `--`\n")
