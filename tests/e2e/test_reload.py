"""`dstack run --reload`: what changes in the working folder reaches the job that runs."""

from __future__ import annotations

import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e import engine
from tests.e2e.conftest import User, until
from tests.e2e.test_ports import free_ports

# prints its own file whenever that has changed, as a development server starts anew
WATCHES = """
    workflows:
      - name: it
        artifacts: [out]
        commands:
          - mkdir -p out; echo mine > out/kept; touch seen; echo begun
          - >-
            while [ ! -e stop ]; do
            if [ "$(cat app.txt)" != "$(cat seen)" ]; then cp app.txt seen; cat app.txt; fi; sleep 0.05; done
          - ls; cat out/kept
"""


@contextmanager
def reloading(user: User, *args: str) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """A run that is followed; what it has said on stderr so far."""
    process = user.start("run", *args, "--reload")
    said: list[str] = []
    assert process.stderr
    lines = iter(process.stderr.readline, b"")
    reader = threading.Thread(target=lambda: said.extend(line.decode().strip() for line in lines))
    reader.start()
    try:
        yield process, said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        reader.join()


def test_changes_reach_the_job_and_a_line_says_so(user: User) -> None:
    user.write("app.txt", "first\n")
    user.write("old.txt", "x")
    user.write(".gitignore", "*.log\n")
    user.workflows(WATCHES)
    with reloading(user, "it") as (process, said):
        out = iter(process.stdout.readline, b"")  # type: ignore[union-attr]
        assert [next(out), next(out)] == [b"begun\n", b"first\n"]
        user.write("it.log", "ignored")
        user.write("out/kept", "yours")
        user.write("app.txt", "second\n")
        assert next(out) == b"second\n"
        (user.folder / "old.txt").unlink()
        until(lambda: "reload: removed old.txt" in said)
        user.write("stop", "")
        rest = b"".join(out).decode()
        assert process.wait(60) == 0
    assert "old.txt" not in rest and "it.log" not in rest and rest.endswith("mine\n")
    assert "reload: sent app.txt" in said and "reload: left as the job has it: out/kept" in said


@pytest.mark.sandbox
def test_in_a_container_on_a_machine(user: User) -> None:
    engine.ensure_job_image()
    engine.ensure_machine_image()
    user.write("app.txt", "first\n")
    user.workflows(WATCHES)
    with reloading(user, "it", "--backend", "sandbox") as (process, said):
        out = iter(process.stdout.readline, b"")  # type: ignore[union-attr]
        assert [next(out), next(out)] == [b"begun\n", b"first\n"]
        user.write("app.txt", "second\n")
        assert next(out) == b"second\n"
        user.write("stop", "")
        assert list(out)[-1] == b"mine\n" and process.wait(60) == 0
    assert "reload: sent app.txt" in said
    engine.await_nothing_held(user)


def test_what_was_reloaded_is_not_used_again(user: User) -> None:
    user.write("app.txt", "first\n")
    user.write("stop", "")
    user.workflows(f"{WATCHES}      - {{name: after, deps: [it], commands: [echo after]}}\n")
    assert "begun" in user("run", "it", "--reload").text
    assert "begun" in user("run", "after").text
    assert "begun" not in user("run", "after").text


def test_where_it_makes_no_sense(user: User) -> None:
    user.workflows("workflows: [{name: it, commands: [echo hi]}, {name: two, nodes: 2, commands: [echo hi]}]")
    assert "--reload and --detach contradict" in user("run", "it", "--reload", "-d", code=2).err
    assert "--reuse and --reload contradict" in user("run", "it", "--reload", "--reuse", code=2).err
    assert "hi" in user("run", "it", "--reload").text


APP = """
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
def root() -> str:
    return "{word}"
"""


def test_a_fastapi_app_begins_anew(user: User) -> None:
    [port] = free_ports(1)
    user.write("main.py", APP.format(word="first"))
    user.workflows(f'workflows: [{{name: web, provider: fastapi, app: "main:app", ports: ["{port}"]}}]')
    with reloading(user, "web") as (_, said):
        until(lambda: answer(port) == '"first"')
        user.write("main.py", APP.format(word="second"))
        until(lambda: answer(port) == '"second"')
        assert "reload: sent main.py" in said


def answer(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return ""
