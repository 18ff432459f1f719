"""Runs and jobs as rows and lines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dstack_cloud.cli.output import age, count, duration, hourly, money, print_drawn, size, table
from dstack_cloud.domain.refusals import OUT_OF_REACH, text_of, words_of
from dstack_cloud.domain.variables import as_options

if TYPE_CHECKING:
    from rich.table import Table

    from dstack_cloud.api.schemas import GitView, InstanceView, JobView, PlannedJob, RunView, SetupView

RUN_COLUMNS = ("RUN", "WORKFLOW", "SUBMITTED", "STATUS", "TAG")
LIST_COLUMNS = (*RUN_COLUMNS, "MACHINE", "COST>")
# why a node ended whose own note would only repeat another's
OTHER_NODE = "node"
JOB_COLUMNS = ("JOB", "STATUS", "ATTEMPT>", "EXIT>", "TIME>", "MACHINE", "PRICE>")


def run_row(run: RunView) -> list[str]:
    return [run["name"], run["workflow"], age(run["submitted_at"]), run["status"], run["tag"] or "-"]


def runs_table(runs: Sequence[RunView]) -> Table:
    return table(LIST_COLUMNS, [[*run_row(run), _machines(run), money(run["cost"])] for run in runs])


def print_runs(runs: Sequence[RunView]) -> None:
    print_drawn(runs_table(runs))


def notes(runs: Sequence[RunView]) -> Iterator[str]:
    """Why something waits or failed, a line a job that has something to say."""
    for run in runs:
        told: set[str] = set()
        for job in run["jobs"]:
            text = job_note(job)
            # what concerns all nodes is told once
            if text and not (job["node"] and text in told):
                told.add(text)
                name = run["name"] if len(run["jobs"]) == 1 else job["id"]
                yield f"{name}: {text}"


def job_note(job: JobView) -> str:
    if job["status"] in ("done", "running") or job["reason"] == OTHER_NODE:
        return ""
    exit_code = f"exit code {job['exit_code']}" if job["status"] == "failed" and job["exit_code"] else ""
    text = job["message"] or exit_code or job["reason"].replace("_", " ")
    return "" if text == job["status"] else text


def print_jobs(jobs: Sequence[JobView]) -> None:
    print_drawn(table(JOB_COLUMNS, [_job_row(job) for job in jobs]))


def _job_row(job: JobView) -> list[str]:
    last = job["instances"][-1] if job["instances"] else None
    exit_code = "-" if job["exit_code"] is None else str(job["exit_code"])
    return [
        job["id"],
        job["status"],
        str(job["attempt"] or "-"),
        exit_code,
        _running_time(job),
        _machine(last) if last else "-",
        hourly(last["price"]) if last else "-",
    ]


def _running_time(job: JobView) -> str:
    if job["started_at"] is None:
        return "-"
    return duration((job["finished_at"] or time.time()) - job["started_at"])


def _machine(instance: InstanceView) -> str:
    return f"{instance['backend']}/{instance['instance_type']}{' spot' if instance['spot'] else ''}"


def _machines(run: RunView) -> str:
    used = [_machine(job["instances"][-1]) for job in run["jobs"] if job["instances"]]
    return ", ".join(dict.fromkeys(used)) or "-"


def detail_lines(run: RunView) -> Iterator[str]:
    """Everything about one run, for `ps -v`."""
    yield f"{run['name']}  {run['workflow']}  {run['status']}  submitted {age(run['submitted_at'])}"
    if run["tag"]:
        yield f"  tag     {run['tag']}"
    if run["variables"]:
        yield f"  vars    {as_options(run['variables'])}"
    if run["args"]:
        yield f"  args    {' '.join(run['args'])}"
    if run["code"]:
        code = run["code"]
        yield f"  code    {code['sha256'][:12]}, {count(code['files'], 'file')}, {size(code['size'])}"
    if run["git"]:
        yield f"  git     {_git(run['git'])}"
    yield f"  cost    {money(run['cost'])}"
    for job in run["jobs"]:
        yield from _job_lines(job)


def _git(state: GitView) -> str:
    """`main 1a2b3c4d5e6f of https://host/repo.git, with changes that weren't committed`."""
    head = " ".join(part for part in (state["branch"], state["commit"][:12]) if part) or "no commit"
    remote = f" of {state['remote']}" if state["remote"] else ""
    return f"{head}{remote}{', with changes that were not committed' if state['dirty'] else ''}"


def _job_lines(job: JobView) -> Iterator[str]:
    parts = [job["status"], f"attempt {job['attempt']}", f"ran {_running_time(job)}"]
    if job["exit_code"] is not None:
        parts.append(f"exit code {job['exit_code']}")
    yield f"  job     {job['id']}: {', '.join(parts)}"
    for text in dict.fromkeys((job["message"], job["reason"].replace("_", " "))):
        if text and text != job["status"]:
            yield f"          {text}"
    if needed := needs_text(job):
        yield f"          {needed}"
    if job["nodes"] > 1:
        yield f"          node {job['node']} of {job['nodes']}"
    for port in job["ports"]:
        yield f"          port {port['app']} at http://localhost:{port['local']}"
    for instance in job["instances"]:
        price = "price unknown" if instance["price"] is None else hourly(instance["price"])
        yield f"          attempt {instance['attempt']}: {_place(instance)}, {price}, {_ending(instance)}"
        if said := _trouble(instance):
            yield f"            {text_of(said)}"


def needs_text(job: JobView) -> str:
    """ "needs download; uses shady-1.encode (unchanged), shady-2.model (:best)"."""
    run = job["id"].partition(".")[0]
    own = [need["given"] for need in job["needs"] if need["id"].startswith(f"{run}.")]
    parts = [f"needs {', '.join(own)}" if own else "", used_text(job)]
    return "; ".join(part for part in parts if part)


def used_text(job: JobView) -> str:
    """ "uses shady-1.encode (unchanged)": what other runs have saved; "" where it takes nothing of theirs."""
    run = job["id"].partition(".")[0]
    words = {"run": "unchanged", "last": "the last run"}
    others = [need for need in job["needs"] if not need["id"].startswith(f"{run}.")]
    used = [f"{need['id']} ({words.get(need['how'], need['given'])})" for need in others]
    return f"uses {', '.join(used)}" if used else ""


def planned_line(job: PlannedJob) -> str:
    if job["reused"]:
        return f"job {job['name']}: reused from {job['reused']}"
    image = f", image {job['image']}" if job["image"] else ""
    needs = f"; needs {', '.join(job['needs'])}" if job["needs"] else ""
    why = f"; runs: {job['why']}" if job["why"] else ""
    return f"job {job['name']}: {job['provider']}{_nodes(job)}{image}{needs}{why}"


def setup_line(setup: SetupView) -> str:
    """ "setup: built before (203 MB in the store), and used again"."""
    places = " and ".join(
        f"{size(kept['size'])} {'in the store' if kept['place'] == 'store' else 'on ' + kept['place']}"
        for kept in setup["places"]
    )
    words = {
        "kept": f"built before ({places}), and used again if what it was built on is still the same",
        "missing": "not built before: its commands run first, and what they make is kept",
        "rebuild": "to be built anew (--rebuild)",
        "unknown": "known once the jobs have run whose outputs it reads",
    }
    return f"  setup: {words.get(setup['state'], 'to be looked for')}"


def _nodes(job: PlannedJob) -> str:
    """ ", 2 nodes for $1.00/h together at the first offer's price"; "" where it runs alone."""
    if job["nodes"] == 1:
        return ""
    prices = [offer["price"] for offer in job["offers"][:1] if offer["price"] is not None]
    price = f" for {money(prices[0] * job['nodes'])}/h together" if prices else ""
    return f", {job['nodes']} nodes{price}"


def _place(instance: InstanceView) -> str:
    zone = instance["zone"] if instance["zone"].startswith(instance["region"]) else ""
    where = zone or instance["region"]
    return f"{_machine(instance)} in {where}" if where not in ("", instance["backend"]) else _machine(instance)


def _ending(instance: InstanceView) -> str:
    if instance["status"] == "refused":
        return f"refused: {words_of(instance['wrong'])}"
    return f"{instance['status']}, {instance['ending']}" if instance["ending"] else instance["status"]


def launch_note(instance: InstanceView) -> str:
    """One line for what went wrong with a launch while somebody watches; "" where nothing did."""
    if instance["status"] == "refused":
        return f"{_place(instance)}: {words_of(instance['wrong'])}"
    if instance["ending"] in ("interrupted", "lost", "mute"):
        said = f" ({trouble})" if (trouble := _trouble(instance)) else ""
        return f"attempt {instance['attempt']} on {_place(instance)}: {instance['ending']}{said}"
    return ""


def _trouble(instance: InstanceView) -> str:
    """What was noticed of it, unless it is in its ending already. One that has ended well, or was taken back, is out of reach for that."""
    expected = instance["ending"] == "interrupted" or (instance["ending"], instance["status"]) == ("", "terminated")
    known = instance["wrong"] == instance["ending"] or (expected and instance["wrong"].startswith(OUT_OF_REACH))
    return "" if known else instance["wrong"]
