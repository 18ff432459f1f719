"""`dstack rehearse`: runs a workflow in the sandbox, breaks its machine as a cloud would, and says what became of the work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dstack_cloud.cli import moments, output, rehearsal_report
from dstack_cloud.cli.application import AsJson, Yes, application, takes
from dstack_cloud.cli.commands import run as running
from dstack_cloud.cli.failures import INTERRUPTED, say
from dstack_cloud.cli.rehearsal import Act, Rehearsal
from dstack_cloud.cli.run_words import arrange as arrange
from dstack_cloud.client import Client
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import PlanView, RunView

TAKES_REST = True
BACKEND = "sandbox"
# where nothing is asked for
INTERRUPT_AFTER = 30.0

app = application()

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", show_default=False, help="Its name.")]
Args = Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="What ${{ run.args }} stands for.")]
InterruptAfter = Annotated[
    str | None,
    typer.Option(metavar="TIME", show_default="30s", help="Tell its machine that it ends, so long after it began."),
]
Notice = Annotated[str, typer.Option(metavar="TIME", help="How long after that the machine ends.")]
KillAfter = Annotated[str | None, typer.Option(metavar="TIME", help="Let its machine die then, without a notice.")]
LoseNetwork = Annotated[
    str | None, typer.Option(metavar="TIME", help="Cut its network for so long, as soon as it runs.")
]
Env = Annotated[list[str] | None, typer.Option("-e", "--env", metavar="K[=V]", help="A variable for the job.")]


class Options(NamedTuple):
    workflow: Workflow
    args: Args = None
    interrupt_after: InterruptAfter = None
    notice: Notice = "120s"
    kill_after: KillAfter = None
    lose_network: LoseNetwork = None
    env: Env = None
    yes: Yes = False
    as_json: AsJson = False


@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@takes(Options)
def rehearse(context: typer.Context, options: Options) -> None:
    """Run a workflow in the sandbox, interrupt it as a cloud would, and report whether it went on where it had been."""
    running.refuse_options([options.workflow, *(options.args or [])], context)
    acts = _acts(options)
    client = Client()
    asked = running.Options(
        workflow=options.workflow, args=options.args, env=options.env, backend=[BACKEND], spot=True, yes=options.yes
    )
    request = running.make_request(asked, context.obj)
    plan = running.make_plan(client, request)
    _refuse_nodes(plan)
    running.complete(client, request, plan, asked)
    rehearsal = Rehearsal(client, acts, say)
    ended = running.follow(client, request, watch=rehearsal.watch, log=sys.stderr.buffer)
    if ended["status"] in ("stopped", "aborted"):
        raise typer.Exit(INTERRUPTED)
    report = _report(client, rehearsal, ended)
    if options.as_json:
        output.print_json(report)
    else:
        _print(report)
    raise typer.Exit(0 if report["verdict"] in rehearsal_report.GOOD else 1)


def _refuse_nodes(plan: PlanView) -> None:
    """Nodes end and begin again together: what one machine's end tells of one log says nothing of theirs."""
    for job in plan["jobs"]:
        if job["nodes"] > 1:
            raise UsageError(
                f"the workflow `{job['name']}` runs on {job['nodes']} nodes, and only one machine can be rehearsed",
                f"`dstack run {plan['workflow']} --backend {BACKEND}` runs it on {job['nodes']} sandbox machines",
            )


def _acts(options: Options) -> list[Act]:
    acts = []
    interrupt, kill, lose = options.interrupt_after, options.kill_after, options.lose_network
    if interrupt is not None or (kill is None and lose is None):
        notice = _seconds("--notice", options.notice)
        text = f"rehearsal: its machine is told that it ends in {output.duration(notice)}"
        after = INTERRUPT_AFTER if interrupt is None else _seconds("--interrupt-after", interrupt)
        acts.append(Act(after, "interrupt", notice, text))
    if kill is not None:
        acts.append(Act(_seconds("--kill-after", kill), "kill", 0.0, "rehearsal: its machine is dead"))
    if lose is not None:
        acts.append(Act(0.0, "cut-network", 0.0, "rehearsal: the network of its machine is cut"))
        acts.append(
            Act(
                _seconds("--lose-network", lose),
                "restore-network",
                0.0,
                "rehearsal: the network of its machine is back",
            )
        )
    return acts


def _seconds(option: str, text: str) -> float:
    found = moments.seconds(text)
    if not found:
        raise UsageError(f"{option} {text}: `{text}` is no time", "say `30s`, `5m` or `1h30m`")
    return found


def _report(client: Client, rehearsal: Rehearsal, ended: RunView) -> rehearsal_report.Report:
    """Each attempt's log by itself: only the server knows where one ends."""
    notes = rehearsal.notes
    job = next((job for job in ended["jobs"] if job["id"] == notes.job), ended["jobs"][0])
    logs = [b"".join(client.logs(job["id"], attempt=number)) for number in range(1, job["attempt"] + 1)]
    first, later = logs[0] if logs else b"", b"\n".join(logs[1:])
    return rehearsal_report.judge(ended, notes, first, later, has_artifacts=bool(client.artifacts(job["id"])))


def _print(report: rehearsal_report.Report) -> None:
    lines = list(rehearsal_report.text_lines(report))
    screen = output.console()
    style = "bold green" if report["verdict"] in rehearsal_report.GOOD else "bold red"
    screen.print(output.plain(lines[0]), style=style)
    for line in lines[1:]:
        screen.print(output.plain(line))
