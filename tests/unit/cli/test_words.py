"""Small things: how times, sizes and durations are read and written."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from dstack_cloud.cli import moments, output, run_request
from dstack_cloud.cli.sources import read_sources
from dstack_cloud.errors import ConfigurationError, UsageError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (59, "59 sec ago"), (60, "1 min ago"), (7300, "2 hours ago"), (86400, "1 day ago"), (-5, "now")],
)
def test_age(seconds: float, text: str) -> None:
    assert output.age(1000.0, 1000.0 + seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4s"), (12.9, "12s"), (185, "3m 05s"), (7500, "2h 05m"), (273600, "3d 04h"), (-1, "0.0s")],
)
def test_duration(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (5 << 40, "5.0 TiB")]
)
def test_size(count: int, text: str) -> None:
    assert output.size(count) == text


@pytest.mark.parametrize(("dollars", "text"), [(None, "?"), (0.0, "$0.00"), (0.0042, "$0.0042"), (1.5, "$1.50")])
def test_money(dollars: float | None, text: str) -> None:
    assert output.money(dollars) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("5m", 700.0),
        ("1h30m", 1000.0 - 5400),
        ("90", 910.0),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_moments(text: str, moment: float) -> None:
    assert moments.moment(text, now=1000.0) == moment


def test_a_time_without_a_zone_is_local() -> None:
    local = datetime(2025, 6, 1, 12, 30).astimezone(timezone.utc).timestamp()
    assert moments.moment("2025-06-01T12:30", now=0.0) == local


@pytest.mark.parametrize("text", ["", "yesterday", "5 m", "5x", "2025-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        moments.moment(text, now=0.0)


KNOWN = ["detach", "tag", "gpu", "dry-run", "backend"]


@pytest.mark.parametrize(
    "word", ["--detatch", "--deatch", "--detac", "--detachh", "--detech", "--dryrun", "--backends=x"]
)
def test_a_slip_is_told_from_an_argument(word: str) -> None:
    with pytest.raises(UsageError, match="there is no option"):
        run_request.refuse_misspelled([word], KNOWN)


@pytest.mark.parametrize(
    "word", ["--lr", "--tags", "--gpus", "--detection", "--batch", "detatch", "-d", "--", "--attach"]
)
def test_an_argument_is_told_from_a_slip(word: str) -> None:
    run_request.refuse_misspelled([word], KNOWN)


def write(folder: Path, name: str, data: bytes) -> None:
    path = folder / ".dstack" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_every_workflow_file_is_read(tmp_path: Path) -> None:
    for name in (
        "workflows.yaml",
        "workflows/b.yml",
        "workflows/a.yaml",
        "variables.yaml",
        "notes.txt",
        "workflows/deep/x.yaml",
    ):
        write(tmp_path, name, b"\xef\xbb\xbfa: \xc3\xa9\n")
    sources = read_sources(tmp_path)
    assert [source["path"].removeprefix(".dstack/") for source in sources] == [
        "variables.yaml", "workflows.yaml", "workflows/a.yaml", "workflows/b.yml"
    ]  # fmt: skip
    assert {source["text"] for source in sources} == {"a: é\n"}


def test_no_workflows_here(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path, "workflows.yaml", b"")
    with pytest.raises(UsageError, match=r"there is no \.dstack folder") as raised:
        read_sources(tmp_path / "inner")
    assert ".dstack/workflows.yaml" in str(raised.value.hint)
    (tmp_path / ".dstack" / "workflows.yaml").unlink()
    with pytest.raises(UsageError, match="there is no workflow file"):
        read_sources(tmp_path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    write(tmp_path, "workflows.yaml", b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigurationError, match=r"\.dstack/workflows\.yaml:2: not UTF-8"):
        read_sources(tmp_path)


def test_a_file_that_is_far_too_large(tmp_path: Path) -> None:
    write(tmp_path, "workflows.yaml", b"#" * (2 << 20))
    with pytest.raises(ConfigurationError, match="more than any workflow file"):
        read_sources(tmp_path)


@pytest.mark.parametrize("word", ["--hlep", "--jsno", "--detahc", "--detac=1"])
def test_a_slip_in_an_option_is_not_meant_for_the_job(word: str) -> None:
    with pytest.raises(UsageError, match="there is no option") as raised:
        run_request.refuse_misspelled([word], ["help", "json", "detach"])
    assert str(raised.value.hint).startswith("did you mean `--")


@pytest.mark.parametrize("word", ["--help", "--helm", "--heap", "--batch", "-x", "hlep"])
def test_what_only_resembles_a_short_option_goes_to_the_job(word: str) -> None:
    run_request.refuse_misspelled([word], ["help", "json", "detach"])
