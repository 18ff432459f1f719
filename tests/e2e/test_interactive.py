"""Every provider that a person works with, each on a throw-away machine of its own, as that person meets it: the address that
`dstack run` prints is opened in a browser, and something is done there. All of them run at once, since most of it is waiting."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.e2e import engine, event_file
from tests.e2e.browser import Browser, Page
from tests.e2e.conftest import User, a_new_user, files_with, until

pytestmark = [pytest.mark.sandbox, pytest.mark.browser]

CELL = {"cell_type": "code", "id": "sum", "execution_count": None, "metadata": {}, "outputs": []}
NOTEBOOK = {
    "cells": [{**CELL, "source": "print('the sum is', 40 + 2)"}],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
FILES = {
    "sum.ipynb": json.dumps(NOTEBOOK),
    "notes.txt": "mine-and-whole\n",
    "pressed.py": """
        import streamlit as st, sys
        st.title("Hello " + sys.argv[1])
        if st.button("Press"):
            st.write("it was pressed")
        """,
    "shown.py": """
        import gradio as gr
        with gr.Blocks() as app:
            said = gr.Markdown("Hello")
            gr.Button("Press", elem_id="press").click(lambda: "it was pressed", outputs=said)
        app.launch()
        """,
    "main.py": """
        from fastapi import FastAPI
        from fastapi.responses import HTMLResponse
        app = FastAPI()
        app.get("/", response_class=HTMLResponse)(lambda: '<a href="double/21">double</a>')
        app.get("/double/{n}")(lambda n: f"it is {int(n) * 2}")
        """,
}


# without a kernel it is called idle, too
KERNEL_IS_READY = (
    '.jp-Toolbar:has([aria-label="Python 3 (ipykernel)"]) .jp-Notebook-ExecutionIndicator[data-status="idle"]'
)


def runs_a_cell_of_lab(page: Page) -> None:
    page.wait_for("sum.ipynb")
    runs_a_cell(page, "/lab/tree/sum.ipynb")


def runs_a_cell_of_a_notebook(page: Page) -> None:
    page.wait_for("sum.ipynb")
    runs_a_cell(page, "/notebooks/sum.ipynb")


def runs_a_cell(page: Page, path: str) -> None:
    page.go(path)
    page.find(KERNEL_IS_READY)
    page.click('[data-jp-item-name="run"] jp-button')
    page.wait_for("the sum is 42")


def opens_a_file(page: Page) -> None:
    page.click('.monaco-list-row[aria-label^="notes.txt"]')
    page.wait_for("mine-and-whole")


def presses_a_button_of_streamlit(page: Page) -> None:
    page.wait_for("Hello from-here")
    page.click('[data-testid="stButton"] button')
    page.wait_for("it was pressed")


def presses_a_button_of_gradio(page: Page) -> None:
    page.wait_for("Hello")
    page.click("#press")
    page.wait_for("it was pressed")


def follows_a_link(page: Page) -> None:
    page.click("a")
    page.wait_for("it is 42")


def sees_a_curve(page: Page) -> None:
    page.wait_for("loss-of-mine")


# the fields of a workflow, and what a person does with it; what is there sooner stands first, and is tried while others are installed
PROVIDERS: Mapping[str, tuple[str, Callable[[Page], None]]] = {
    "fastapi": ("app: 'main:app'", follows_a_link),
    "tensorboard": ("logdir: logs", sees_a_curve),
    "code": ("", opens_a_file),
    "streamlit": ("file: pressed.py, args: from-here", presses_a_button_of_streamlit),
    "lab": ("", runs_a_cell_of_lab),
    "notebook": ("", runs_a_cell_of_a_notebook),
    "gradio": ("file: shown.py", presses_a_button_of_gradio),
}
# what somebody without the token is told
REFUSALS = {"lab": "Password or token", "notebook": "Password or token", "code": "Forbidden"}


@pytest.fixture(scope="module")
def person() -> Iterator[User]:
    """Their working folder has a file for each provider, and a workflow that is called as it is."""
    engine.ensure_job_image()
    engine.ensure_machine_image()
    with a_new_user() as user:
        for name, text in FILES.items():
            user.write(name, text)
        event_file.write(user.folder / "logs/events.out.tfevents.1700000000.here", "loss-of-mine", [3.0, 2.0, 1.0])
        fields = {**{name: text for name, (text, _) in PROVIDERS.items()}, "ssh": ""}
        entries = [f"{{name: {name}, provider: {name}, {text}}}" for name, text in fields.items()]
        user.workflows(f"workflows: [{', '.join(entries)}]")
        yield user
        engine.await_nothing_held(user)


@pytest.fixture(scope="module")
def started(person: User) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """`dstack run NAME` of each, all at once."""
    command = ("run", "--backend", "sandbox")
    processes = {name: person.start(*command, name, stdout=subprocess.DEVNULL) for name in (*PROVIDERS, "ssh")}
    yield processes
    person("stop", "--all", "--abort", "-y")
    for process in processes.values():
        process.wait(timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one


def told_address(process: subprocess.Popen[bytes]) -> str:
    """Of the run's one port; what comes after it is thrown away."""
    assert process.stderr
    said = b""
    while line := process.stderr.readline():
        said += line
        if told := re.search(rb"port \d+ at (http://\S+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return told[1].decode()
    raise AssertionError(f"it ended without an address: {said.decode()}")


def run_of(user: User, workflow: str) -> str:
    """Once it has been submitted."""
    return str(until(lambda: [run["name"] for run in user.runs() if run["workflow"] == workflow])[0])


# all packages are installed at once, so that each takes as long as all of them
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PROVIDERS)
def test_it_opens_and_works(
    person: User, started: dict[str, subprocess.Popen[bytes]], browser: Browser, name: str
) -> None:
    address = told_address(started[name])
    plain, _, token = address.partition("=")
    assert plain.endswith(("token", "tkn")) == bool(token) == (name in REFUSALS)
    if token:
        # for the browser that is another site: what it is given here it doesn't show there
        browser.open(plain.partition("?")[0].replace("localhost", "127.0.0.1")).wait_for(REFUSALS[name])
        assert token not in person("ps", "-a", "--json").text + person("logs", run_of(person, name)).text
        assert files_with(person.home, token.encode()) == []
    PROVIDERS[name][1](browser.open(address))


@pytest.mark.usefixtures("started")
def test_a_machine_to_log_in_to(person: User) -> None:
    name = run_of(person, "ssh")
    person.wait_for_log(name, f"`dstack ssh {name}` opens a shell here")
    assert person("ssh", name, "--", "cat", "notes.txt").text == FILES["notes.txt"]
