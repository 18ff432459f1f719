"""Workflows of each kind, as processes of this computer. What a browser opens is in `test_interactive.py`, on machines."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.browser import Browser
from tests.e2e.conftest import User, until
from tests.e2e.test_ports import free_ports


@contextmanager
def site(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server of the folder's files."""
    server = ThreadingHTTPServer((host, 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def workflow(user: User, fields: str) -> None:
    user.workflows(f"workflows: [{{name: it, {fields}}}]")


def told_address(process: subprocess.Popen[bytes]) -> str:
    """Of the one port of the run; what comes after it is thrown away."""
    assert process.stderr
    stream = process.stderr
    told = re.compile(rb"port \d+ at (http://\S+)")
    address = until(lambda: told.search(stream.readline()), patience=180).group(1).decode()
    threading.Thread(target=stream.read, daemon=True).start()
    return str(address)


@contextmanager
def opened(user: User) -> Iterator[str]:
    """The address that the run `it` prints; the run is stopped afterwards."""
    process = user.start("run", "it", stdout=subprocess.DEVNULL)
    try:
        yield told_address(process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert process.returncode == 130


def test_a_script_with_its_arguments_and_exit_code(user: User) -> None:
    user.write("src/say.py", "import sys\nprint(sys.argv[1:])\nsys.exit(len(sys.argv))\n")
    workflow(user, "provider: python, working_dir: src, script: say.py, args: \"--x 'a b' ${{ run.args }}\"")
    said = user("run", "it", "--", "1 2", "$HOME", code=5)
    assert said.text == "['--x', 'a b', '1 2', '$HOME']\n"


def test_a_provider_runs_without_a_workflow_unless_one_has_its_name(user: User) -> None:
    user.write("say.py", "import sys\nprint(sys.argv[1:])\n")
    assert user("run", "python", "say.py", "--x", "--", "-d", "$HOME").text == "['--x', '-d', '$HOME']\n"
    said = user("run", "bash", "-c", 'mkdir out; echo "${{ run.name }}" > out/name; exit 3', "-a", "out", code=3)
    assert said.text == ""
    name = user.runs()[0]["name"]
    assert user("artifacts", name).text.strip().endswith("out/name")
    user.workflows("workflows: [{name: python, commands: [echo mine]}]")
    assert user("run", "python").text == "mine\n"


def test_a_provider_that_is_asked_wrongly_starts_nothing(user: User) -> None:
    assert "did you mean `bash`?" in user("run", "bsh", "-c", "x", code=2).err
    assert "lab takes no word like `x`" in user("run", "lab", "x", code=2).err
    said = user("run", "bash", "-c", "x", "--memory", "16XB", "--ports", "0", code=2).err
    assert "command line: `ports[0]` has the port 0" in said
    assert "`XB` in `16XB` isn't a unit of size" in said
    assert user.runs() == []


def test_requirements_are_installed_for_the_job_alone(user: User) -> None:
    user.write("needs/setup.py", "from setuptools import setup\nsetup(name='tiny-need', py_modules=['tiny_need'])\n")
    user.write("needs/tiny_need.py", "SAID = 'found it'\n")
    user.write("needs.txt", "./needs\n")
    user.write("use.py", "import tiny_need, sys\nprint(tiny_need.SAID, 'runners' in tiny_need.__file__)\n")
    workflow(user, "provider: python, file: use.py, requirements: needs.txt")
    first, second = user("run", "it").text, user("run", "it").text
    assert first.splitlines()[-1] == second.splitlines()[-1] == "found it True"
    assert "not built before" in first and "used again" in second


def test_a_download_is_kept_as_an_artifact(user: User, tmp_path: Path) -> None:
    (tmp_path / "a b.bin").write_bytes(b"x" * 70_000)
    with site(tmp_path) as address:
        for output in ("data/got.bin", "data/"):
            workflow(user, f"provider: curl, url: '{address}/a%20b.bin', output: {output}, artifacts: data")
            assert "(70000 bytes)" in user("run", "it").text
            user("artifacts", "download", user.runs()[0]["name"], str(tmp_path / "out"))
    for name in ("got.bin", "a b.bin"):
        [found] = (tmp_path / "out").rglob(name)
        assert found.read_bytes() == b"x" * 70_000


def test_a_download_that_fails_says_so(user: User, tmp_path: Path) -> None:
    with site(tmp_path) as address:
        workflow(user, f"provider: curl, url: '{address}/nothing'")
        said = user("run", "it", code=None)
    assert said.code not in (0, 2)
    assert f"{address}/nothing could not be downloaded" in said.text


@pytest.mark.browser
def test_a_ray_cluster_works_and_its_dashboard_opens(user: User) -> None:
    user.write(
        "squares.py",
        """
        import ray
        ray.init()
        square = ray.remote(lambda n: n * n)
        print("sum", sum(ray.get([square.remote(n) for n in range(5)])), flush=True)
        """,
    )
    [port] = free_ports(1)
    workflow(user, f"provider: ray, commands: [python squares.py, sleep 1000], ports: {port}")
    with opened(user) as address, Browser() as browser:
        browser.open(address).wait_for("Cluster")
        user.wait_for_log(user.runs()[0]["name"], "sum 30")


@pytest.mark.browser
def test_a_fastapi_application_opens(user: User) -> None:
    user.write("src/main.py", "from fastapi import FastAPI\napp = FastAPI()\napp.get('/')(lambda: 'it answers')\n")
    [port] = free_ports(1)
    workflow(user, f"provider: fastapi, working_dir: src, app: 'main:app', ports: {port}")
    with opened(user) as address, Browser() as browser:
        browser.open(address).wait_for("it answers")


def test_a_provider_of_the_users_own(user: User) -> None:
    example = Path(__file__).parents[2] / "examples" / "own-provider"
    shutil.copytree(example, user.folder, dirs_exist_ok=True)
    assert user("validate").code == 0
    assert user("run", "build", "--", "all").text.splitlines()[-1] == "built by make"
    user.write("providers/make.py", "x = 1\ny = x / 0\n")
    for command in (["validate"], ["run", "build"]):
        assert (
            "providers/make.py:2: ZeroDivisionError: division by zero"
            in (said := user(*command, code=2)).text + said.err
        )
        assert "unknown field" not in said.text + said.err
    user.write("providers/make.py", "while True: pass\n")
    assert "providers/make.py didn't answer within 10 s" in user("run", "build", code=2).err
    assert len(user.runs()) == 1


def test_a_port_that_is_taken(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        workflow(user, f"provider: lab, ports: {port}")
        assert f"error: port {port} is taken where the job runs" in user("run", "it", code=1).text
