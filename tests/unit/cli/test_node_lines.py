"""Logs of nodes side by side."""

from __future__ import annotations

from dstack_cloud.cli import run_tables
from dstack_cloud.cli.node_lines import NodeLines, log_name
from tests.unit.cli import views


def test_lines_stay_whole_and_bear_their_nodes_number() -> None:
    lines = NodeLines()
    assert lines.take(0, b"a\nbe") == b"[0] a\n"
    assert lines.take(1, b"x\r\n50 %\r60") == b"[1] x\r\n[1] 50 %\r"
    assert lines.take(0, b"gun\n") == b"[0] begun\n"
    assert lines.rest() == b"[1] 60\n"
    assert lines.rest() == b""


def test_nodes_have_one_log_together() -> None:
    alone, node = views.job(), views.job()
    node["name"], node["node"], node["nodes"] = "train.1", 1, 2
    assert log_name("train", [alone]) == ("train", None)
    assert log_name("train.1", [node]) == ("train", 1)


def test_what_concerns_all_nodes_is_told_once() -> None:
    run = views.run("failed", message="4 offers tried")
    other = {**run["jobs"][0], "id": "shady-1.train.1", "node": 1}
    run["jobs"] += [other, {**other, "message": "exit code 3"}, {**other, "message": "node 2 failed", "reason": "node"}]  # type: ignore[typeddict-item]
    assert list(run_tables.notes([run])) == ["shady-1.train: 4 offers tried", "shady-1.train.1: exit code 3"]


def test_a_plan_says_how_many_machines_there_are_and_what_they_cost() -> None:
    (job,) = views.plan()["jobs"]
    job["nodes"], job["offers"][0]["price"] = 4, 0.5
    assert run_tables.planned_line(job) == "job train: bash, 4 nodes for $2.00/h together"
