"""What a rehearsal concludes from what was seen."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dstack_cloud.api.schemas import RunView, SaveView
from dstack_cloud.cli import rehearsal_report
from dstack_cloud.cli.commands.rehearse import Options, _acts
from dstack_cloud.cli.rehearsal import Notes
from dstack_cloud.cli.rehearsal_report import judge
from dstack_cloud.errors import UsageError

STEP = 2.0


def log(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def epochs(first: int, last: int) -> list[str]:
    return [f"epoch {number} loss {1 / (number + len('x') * last):.4f}" for number in range(first, last + 1)]


def run_view(attempts: int = 2, status: str = "done") -> RunView:
    job = {"id": "a-1.train", "attempt": attempts, "message": "", "status": status}
    return cast("RunView", {"name": "a-1", "status": status, "exit_code": 0, "jobs": [job]})


def saved(files: int = 1, at: float = 1002.0) -> SaveView:
    return {"job": "train", "attempt": 1, "complete": False, "saved_at": at, "files": files, "size": 10}


def notes(first: bytes, **changes: Any) -> Notes:
    """A line every 2 s; the notice comes with the last one."""
    lines = first.splitlines(keepends=True)
    arrivals = [(sum(map(len, lines[: n + 1])), 100.0 + STEP * n) for n in range(len(lines))]
    broken_at = arrivals[-1][1] if arrivals else 110.0
    seen = {"broken_at": broken_at, "told_at": 1000.0, "ends": True, "saved": saved(), "restarted_at": broken_at + 5}
    return Notes(job="a-1.train", running_at=100.0, arrivals=arrivals, **{**seen, **changes})


def test_what_went_on_was_resumed() -> None:
    first = log("loading", *epochs(1, 9))
    report = judge(run_view(), notes(first), first, log("loading", "going on", *epochs(9, 20)))
    assert (report["verdict"], report["lines"], report["repeated"]) == ("resumed", 10, 2)
    assert (report["lost"], report["ran"], report["pause"]) == (STEP, 18.0, 5.0)
    assert report["saved"] == {"files": 1, "bytes": 10, "after_notice": 2.0}


def test_what_printed_all_again_began_again() -> None:
    first = log("loading", *epochs(1, 9))
    report = judge(run_view(), notes(first), first, log("loading", *epochs(1, 20)))
    assert (report["verdict"], report["repeated"], report["lost"]) == ("started from the beginning", 10, 18.0)
    assert "look for a checkpoint" in report["why"]


def test_a_line_that_differs_by_chance_is_no_progress() -> None:
    first = log("process 4711 on host-a", *epochs(1, 20))
    report = judge(run_view(), notes(first), first, log("process 17 on host-b", *epochs(1, 20)))
    assert report["verdict"] == "started from the beginning"


@pytest.mark.parametrize("save", [None, saved(files=0)])
@pytest.mark.parametrize(("artifacts", "why"), [(False, "name what it writes"), (True, "without a notice")])
def test_without_files_nothing_can_be_resumed(save: SaveView | None, artifacts: bool, why: str) -> None:
    first = log(*epochs(1, 9))
    report = judge(run_view(), notes(first, saved=save), first, log("other", "lines"), has_artifacts=artifacts)
    assert (report["verdict"], report["saved"]) == ("started from the beginning", None)
    assert why in report["why"]


def test_times_and_fractions_are_no_difference() -> None:
    first = log(*(f"2026-01-01 10:00:{n:02} epoch {n} {n / 7:.3f}" for n in range(9)))
    later = log(*(f"2026-01-01 10:05:{n:02} epoch {n} {n / 9:.3f}" for n in range(9)))
    assert judge(run_view(), notes(first), first, later)["repeated"] == 9


@pytest.mark.parametrize("text", ["", "working\n" * 20])
def test_a_log_that_says_nothing_decides_nothing(text: str) -> None:
    report = judge(run_view(), notes(text.encode()), text.encode(), text.encode())
    assert (report["verdict"], report["lost"]) == ("unclear", None)


def test_what_is_printed_after_the_notice_is_no_work() -> None:
    first = log(*epochs(1, 9), "told to end", "saved")
    seen = notes(first, broken_at=100.0 + 8 * STEP)
    assert judge(run_view(), seen, first, log(*epochs(1, 20)))["verdict"] == "started from the beginning"


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ({"broken_at": None, "ends": False}, "not interrupted"),
        ({"broken_at": None, "ends": False, "wrong": ["refused"]}, "not interrupted"),
        ({"ends": False}, "undisturbed"),
        ({}, "undisturbed"),
    ],
)
def test_one_attempt(seen: dict[str, Any], verdict: str) -> None:
    first = log(*epochs(1, 9))
    report = judge(run_view(attempts=1), notes(first, saved=None, restarted_at=None, **seen), first, b"")
    assert report["verdict"] == verdict


def test_a_run_that_failed_failed() -> None:
    first = log(*epochs(1, 9))
    assert judge(run_view(status="failed"), notes(first), first, b"")["verdict"] == "failed"


def test_the_report_reads_well() -> None:
    first = log("loading", *epochs(1, 9))
    report = judge(run_view(), notes(first), first, log("loading", *epochs(9, 20)))
    assert list(rehearsal_report.text_lines(report)) == [
        "a-1: resumed",
        "  interrupted    18s after it began to run",
        "  attempts       2",
        "  saved          1 file, 10 B, 2.0s after the notice",
        "  ran again      after 5.0s",
        "  printed again  2 of 10 lines",
        "  work lost      about 2.0s of 18s",
        "  ended          done",
        "  its files were restored, and it went on where it had been",
    ]


def test_what_is_done_to_a_machine_by_default() -> None:
    assert [act[:3] for act in _acts(Options("train"))] == [(30.0, "interrupt", 120.0)]
    acts = _acts(Options("train", kill_after="1m", lose_network="20s"))
    assert [act[:2] for act in acts] == [(60.0, "kill"), (0.0, "cut-network"), (20.0, "restore-network")]
    with pytest.raises(UsageError, match="no time"):
        _acts(Options("train", interrupt_after="soon"))
