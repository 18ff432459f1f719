from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud import errors
from dstack_cloud.client import Client
from dstack_cloud.client.transport import ConnectionLost, FileProblems, Transport
from tests.fakes.unix_http import Cut, Reply, Request, reply_json, serving


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def connect(home: Path) -> Client:
    return Client(home, autostart=False)


def test_answers_are_json_and_names_are_quoted(home: Path) -> None:
    with serving(home, lambda request: reply_json({"name": "x"})) as requests:
        assert connect(home).run("odd name?é")["name"] == "x"
    assert requests[0].path == "/api/projects/-/runs/odd%20name%3F%C3%A9"


@pytest.mark.parametrize(("name", "says"), [("", "is empty"), ("a/b", "it has a `/`"), ("a\udcff", "isn't UTF-8")])
def test_what_can_be_no_name_is_never_asked_for(home: Path, name: str, says: str) -> None:
    client = connect(home)
    for ask in (client.run, client.delete, client.untag, client.artifacts, client.resume, client.delete_secret):
        with pytest.raises(errors.UsageError, match=says):
            ask(name)
    with pytest.raises(errors.UsageError, match=says):
        list(client.follow(name))


@pytest.mark.parametrize(
    ("code", "status", "cls"),
    [
        ("NotFound", 404, errors.NotFound),
        ("Conflict", 409, errors.Conflict),
        ("NotAvailableYet", 400, errors.NotAvailableYet),
        ("NoCapacity", 502, errors.NoCapacity),
        ("Unheard", 500, errors.ServerError),
    ],
)
def test_an_error_is_raised_as_what_it_is(home: Path, code: str, status: int, cls: type[errors.DstackError]) -> None:
    view = {"code": code, "summary": "no", "hint": "do"}
    with serving(home, lambda request: reply_json(view, status)), pytest.raises(errors.DstackError) as raised:
        connect(home).run("x")
    assert (type(raised.value), raised.value.summary, raised.value.hint) == (cls, "no", "do")


def test_problems_of_files_are_kept(home: Path) -> None:
    problem = {"file": "a", "line": 1, "column": 2, "where": "", "text": "t", "hint": None}
    view = {"code": "ConfigurationError", "summary": "1 problem", "hint": None, "problems": [problem]}
    with serving(home, lambda request: reply_json(view, 400)), pytest.raises(FileProblems) as raised:
        connect(home).run("x")
    assert raised.value.problems == [problem]


def test_a_store_that_fails_is_told_of_by_the_upload(home: Path) -> None:
    view = {"code": "StoreError", "summary": "no space", "hint": None}
    with serving(home, lambda request: reply_json(view, 500)), pytest.raises(errors.StoreError, match="no space"):
        assert connect(home).has_code("ab") is False, "an answer to HEAD has no words"
        connect(home).put_code("ab", iter([b"x"]))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"detail": "x"}', b""])
def test_an_error_that_is_no_error_view(home: Path, body: bytes) -> None:
    with serving(home, lambda request: Reply(500, body)), pytest.raises(errors.ServerError, match="status 500"):
        connect(home).run("x")


def test_no_server_and_none_wanted(home: Path) -> None:
    with pytest.raises(errors.ServerError, match="isn't running"):
        connect(home).server()


def test_an_answer_that_is_cut_is_no_short_answer(home: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"first"
        raise Cut

    got: list[bytes] = []
    with serving(home, lambda request: Reply(chunks=chunks())), pytest.raises(ConnectionLost):
        got += connect(home).archive("x")
    assert b"".join(got) in (b"first", b"")


def test_uploads_are_streamed(home: Path) -> None:
    pieces = [b"x" * 100_000 for _ in range(30)]
    with serving(home, lambda request: reply_json({})) as requests:
        connect(home).put_code("ab", iter(pieces))
    assert (requests[0].path, requests[0].body == b"".join(pieces)) == ("/api/projects/-/code/ab", True)


def test_what_an_upload_raises_passes_through_and_the_server_sees_it_broken(home: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("changed")

    with serving(home, lambda request: reply_json({})) as requests:
        with pytest.raises(KeyError, match="changed"):
            connect(home).put_code("ab", pieces())
        assert connect(home).has_code("cd") is True
    assert all(not request.whole for request in requests if request.method == "PUT")


@pytest.mark.parametrize(("status", "known"), [(200, True), (404, False)])
def test_whether_code_is_known(home: Path, status: int, known: bool) -> None:
    with serving(home, lambda request: Reply(status, b"")):
        assert connect(home).has_code("ab") is known


def test_bodies_and_queries(home: Path) -> None:
    with serving(home, lambda request: reply_json([])) as requests:
        client = connect(home)
        client.runs(last=3)
        client.runs(everything=True)
        client.runs()
        client.stop("shady-1", abort=True)
        client.prune_cache("train", older_than=12.5)
    assert [request.query for request in requests[:3]] == [{"last": "3"}, {"all": "1"}, {}]
    assert json.loads(requests[3].body) == {"abort": True}
    assert requests[4].query == {"workflow": "train", "older_than": "12.5"}


def test_a_folder_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 120)
    with serving(home, lambda request: reply_json({"name": "x"})):
        assert connect(home).run("x")["name"] == "x"


def test_a_slow_server_is_not_taken_for_a_dead_one(home: Path) -> None:
    def answer(request: Request) -> Reply:
        return Reply(chunks=iter([b"{", b"}"]))

    with serving(home, answer):
        assert Transport(home, autostart=False).call("GET", "/x") == {}
