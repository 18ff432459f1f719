"""Whether a run that was broken on purpose went on where it had been. Pure.

The honest signal that every program gives is its log: work that is done again prints its lines again. Lines are compared without
what differs by itself (times of day, decimal fractions); a line that the first attempt printed more than once says nothing. What
was printed before the last line that never came again was kept; what came after it was lost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from dstack_cloud.cli.output import count, duration, size

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import RunView
    from dstack_cloud.cli.rehearsal import Notes

# what a line may differ in although the same work is done
_DATE = re.compile(rb"\d{4}-\d\d-\d\d[T ]?|\d\d?:\d\d(:\d\d)?([.,]\d+)?Z?")
_FRACTION = re.compile(rb"[-+]?\d+\.\d+(e[-+]?\d+)?%?")
# of the first attempt's time; a line or two at the start that differ by chance don't make it less
ALL_LOST = 0.9

RESUMED = "resumed"
FROM_THE_BEGINNING = "started from the beginning"
UNCLEAR = "unclear"
UNDISTURBED = "undisturbed"
NOT_INTERRUPTED = "not interrupted"
FAILED = "failed"
GOOD = (RESUMED, UNCLEAR, UNDISTURBED)


class Saved(TypedDict):
    """`after_notice`: seconds from the notice until it was in the store; negative: it was there before."""

    files: int
    bytes: int
    after_notice: float


class Report(TypedDict):
    """`lines`: of the first attempt that say something; `repeated`: of those, the ones that came again. `lost` and `ran`:
    seconds. `lost` is None where it can't be told."""

    run: str
    status: str
    exit_code: int | None
    verdict: str
    why: str
    attempts: int
    ran: float
    saved: Saved | None
    pause: float | None
    lines: int
    repeated: int
    lost: float | None
    problems: list[str]


class Line(TypedDict):
    """`at`: when it came, seconds after the job began to run."""

    text: bytes
    at: float


def lines_of(log: bytes, arrivals: Sequence[tuple[int, float]], start: float) -> list[Line]:
    """The lines of the first attempt's log with their times. `arrivals` is of the log of all attempts, which begins with it."""
    found, position, seen = [], 0, 0
    for raw in log.splitlines(keepends=True):
        position += len(raw)
        while seen < len(arrivals) - 1 and arrivals[seen][0] < position:
            seen += 1
        at = arrivals[seen][1] - start if arrivals else 0.0
        found.append(Line(text=raw, at=at))
    return found


def compare(first: Sequence[Line], later: bytes, ended: float) -> tuple[int, int, float | None]:
    """(lines that say something, those of them that came again, seconds of work lost). `ended`: when the first attempt was
    broken; what it printed after that (that it saves, that it was told to end) isn't work."""
    keys = [_key(line["text"]) for line in first]
    counts = Counter(keys)
    again = {_key(raw) for raw in later.splitlines()}
    telling = [
        (line["at"], key in again)
        for line, key in zip(first, keys, strict=True)
        if key and counts[key] == 1 and line["at"] <= ended
    ]
    repeated = sum(came_again for _, came_again in telling)
    if not telling:
        return 0, 0, None
    kept_until = max((at for at, came_again in telling if not came_again), default=0.0)
    return len(telling), repeated, max(0.0, ended - kept_until)


def _key(raw: bytes) -> bytes:
    return _FRACTION.sub(b"#", _DATE.sub(b"#", raw)).strip()


def judge(run: RunView, notes: Notes, first: bytes, later: bytes, *, has_artifacts: bool = True) -> Report:
    """`first` and `later`: the logs of the first attempt, and of all others. `has_artifacts`: it saved some in the end."""
    job = next((job for job in run["jobs"] if job["id"] == notes.job), run["jobs"][0])
    start = notes.running_at or 0.0
    ran = (notes.broken_at or start) - start
    told, repeated, lost = compare(lines_of(first, notes.arrivals, start), later, ran)
    report = Report(
        run=run["name"],
        status=run["status"],
        exit_code=run["exit_code"],
        verdict="",
        why="",
        attempts=job["attempt"],
        ran=round(ran, 1),
        saved=_saved(notes),
        pause=_pause(notes),
        lines=told,
        repeated=repeated,
        lost=None if lost is None else round(lost, 1),
        problems=notes.wrong,
    )
    report["verdict"], report["why"] = _verdict(report, notes, job["message"], has_artifacts)
    if report["verdict"] == FROM_THE_BEGINNING:
        report["lost"] = report["ran"]
    return report


def _saved(notes: Notes) -> Saved | None:
    save = notes.saved
    if save is None or not save["files"]:
        return None
    after = save["saved_at"] - (notes.told_at or save["saved_at"])
    return Saved(files=save["files"], bytes=save["size"], after_notice=round(after, 1))


def _pause(notes: Notes) -> float | None:
    if notes.restarted_at is None or notes.broken_at is None:
        return None
    return round(notes.restarted_at - notes.broken_at, 1)


def _verdict(report: Report, notes: Notes, said: str, has_artifacts: bool) -> tuple[str, str]:
    if report["status"] != "done":
        return FAILED, said or f"it ended {report['status']}"
    if report["attempts"] > 1:
        return _compared(report, has_artifacts)
    if report["problems"] and not notes.ends:
        return NOT_INTERRUPTED, "what was to happen to its machine couldn't be done"
    if notes.broken_at is None:
        return NOT_INTERRUPTED, "it ended before anything happened to its machine: choose an earlier moment"
    if notes.ends:
        return UNDISTURBED, "it ended by itself before its machine did"
    return UNDISTURBED, "it went on without its network"


def _compared(report: Report, has_artifacts: bool) -> tuple[str, str]:
    if report["saved"] is None and has_artifacts:
        return (
            FROM_THE_BEGINNING,
            "nothing had been saved yet: without a notice only what was saved while it ran is left",
        )
    if report["saved"] is None:
        return FROM_THE_BEGINNING, "nothing had been saved: name what it writes its checkpoints to in `artifacts`"
    if report["lost"] is None:
        return UNCLEAR, "its files were restored, but it printed nothing to tell by: let it print its progress"
    if report["repeated"] == report["lines"] or report["lost"] >= ALL_LOST * report["ran"]:
        return (
            FROM_THE_BEGINNING,
            "its files were restored, but it printed all again: let it look for a checkpoint first",
        )
    return RESUMED, "its files were restored, and it went on where it had been"


def text_lines(report: Report) -> Iterator[str]:
    """The report for people, a fact a line."""
    yield f"{report['run']}: {report['verdict']}"
    if report["attempts"] > 1:
        yield f"  interrupted    {duration(report['ran'])} after it began to run"
    yield f"  attempts       {report['attempts']}"
    yield from _detail_lines(report)
    ending = report["status"] if not report["exit_code"] else f"{report['status']}, exit code {report['exit_code']}"
    yield f"  ended          {ending}"
    yield f"  {report['why']}"
    for problem in report["problems"]:
        yield f"  {problem}"


def _detail_lines(report: Report) -> Iterator[str]:
    if report["attempts"] < 2:
        return
    saved = report["saved"]
    if saved is None:
        yield "  saved          nothing"
    else:
        after = saved["after_notice"]
        when = f"{duration(after)} after the notice" if after >= 0 else f"{duration(-after)} before that"
        yield f"  saved          {count(saved['files'], 'file')}, {size(saved['bytes'])}, {when}"
    if report["pause"] is not None:
        yield f"  ran again      after {duration(report['pause'])}"
    yield f"  printed again  {report['repeated']} of {count(report['lines'], 'line')}"
    lost = (
        "can't be told" if report["lost"] is None else f"about {duration(report['lost'])} of {duration(report['ran'])}"
    )
    yield f"  work lost      {lost}"
