"""`dstack run` on this computer, in containers of its own engine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.backends.sandbox.client import DockerClient
from tests.e2e import engine
from tests.e2e.conftest import User, until
from tests.e2e.test_providers import site

pytestmark = pytest.mark.docker
MINE = """
    from dstack_cloud.providers import Given, Program, Provider, text
    class Mine(Provider):
        word: str = text("What to write.")
        def program(self, given: Given) -> Program:
            return Program(commands=(f"mkdir out; echo {self.word} > out/mine",), image=given.image)
"""


@pytest.fixture(scope="module")
def image() -> str:
    return engine.ensure_job_image()


@pytest.fixture(autouse=True)
def in_docker(user: User, image: str) -> Iterator[None]:
    user.env["DSTACK_LOCAL_MODE"] = "docker"
    yield
    engine.await_nothing_held(user)


@pytest.mark.parametrize("mode", ["docker", "auto"])
def test_hello(user: User, mode: str) -> None:
    user.env["DSTACK_LOCAL_MODE"] = mode
    user.workflows("""
        workflows:
          - name: hello
            provider: bash
            commands: [cat name.txt; pwd; test -f /.dockerenv && echo inside, exit 5]
    """)
    user.write("name.txt", "hello\n")
    assert user("run", "hello", code=5).out == b"hello\n/workflow\ninside\n"
    assert user.runs()[0]["exit_code"] == 5


def test_auto_without_the_default_image_runs_processes(user: User) -> None:
    user.env["DSTACK_LOCAL_MODE"] = "auto"
    user.env["DSTACK_DEFAULT_IMAGE"] = "dstack-cloud/nowhere:py{python}"
    user.workflows("workflows: {name: hello, provider: bash, commands: [test ! -f /.dockerenv || pwd, echo hello]}")
    assert b"/workflow" not in user("run", "hello").out


def test_what_root_wrote_can_be_read_and_removed(user: User) -> None:
    user.workflows("""
        workflows:
          - name: train
            provider: bash
            commands: [umask 077; mkdir out; echo x > out/secret; echo y > ~/model]
            artifacts: [out, ~/model]
    """)
    user("run", "train")
    name = user.runs()[0]["name"]
    user("artifacts", name, "--output", "got")
    assert (user.folder / "got/out/secret").read_text() == "x\n"
    assert (user.folder / "got/home/model").read_text() == "y\n"
    until(lambda: not list((user.home / "runners").glob("*/")))


def test_a_cache_in_the_home_folder(user: User) -> None:
    user.workflows("""
        workflows:
          - name: cached
            provider: bash
            commands: ["cat ~/.cache/tool/thing || echo cold", echo warm > ~/.cache/tool/thing]
            cache: [~/.cache/tool]
    """)
    assert b"cold\n" in user("run", "cached").out
    assert user("run", "cached").out == b"warm\n"


def test_killed_from_within_it_has_the_shells_exit_code(user: User) -> None:
    user.workflows("workflows: {name: killed, provider: bash, commands: ['sh -c \"kill -9 $$\"']}")
    user("run", "killed", code=137)
    assert "137" in user.runs()[0]["jobs"][0]["message"]


def test_names_in_every_text_a_home_folder_and_shared_memory(user: User, image: str) -> None:
    name, _, tag = image.rpartition(":")
    user.write(".dstack/variables.yaml", f"variables: {{it: {{image: {name}, tag: '{tag}', who: a b, shell: bash}}}}")
    user.workflows("""
        workflows:
          - name: it
            image: $image:${{ tag }}
            entrypoint: [$shell, -c, 'echo entered; exec ${{ shell }} -c "$0"']
            home_dir: /data/${{ who }}
            env: {MINE: "$who of ${{ run.name }}"}
            resources: {shm_size: 96MiB}
            commands:
              - test "$HOME" = '/data/a b' && (cd && pwd)
              - echo $MINE $(($(df --output=size -k /dev/shm | tail -1) / 1024)) ${{ run.args }}
              - mkdir -p "out/$who" && echo kept > "out/$who/x" && echo model > ~/$run_name
            artifacts: ["out/$who", "~/${{ run.name }}"]
    """)
    said = user("run", "it", "1  2").text
    name = user.runs()[0]["name"]
    assert said == f"entered\n/data/a b\na b of {name} 96 1  2\n"
    user("artifacts", name, "--output", "got")
    assert (user.folder / "got/out/a b/x").read_text() == "kept\n"
    assert (user.folder / "got/home" / name).read_text() == "model\n"


def test_a_download_a_class_of_ones_own_and_a_script_that_reads_what_they_made(user: User, tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text("downloaded\n")
    user.write("providers/mine.py", MINE)
    user.write("tiny/setup.py", "from setuptools import setup\nsetup(name='tiny', py_modules=['tiny'])\n")
    user.write("tiny/tiny.py", "WORD = 'installed'\n")
    user.write("needs.txt", "./tiny\n")
    user.write(
        "use.py",
        "import sys, tiny\nprint(open('data/a b.txt').read() + open('out/mine').read(), tiny.WORD, sys.argv[1:])\n",
    )
    with site(tmp_path, engine.gateway()) as address:
        user.workflows(f"""
            workflows:
              - {{name: get, provider: curl, url: '{address}/a%20b.txt', output: data/, artifacts: data}}
              - {{name: mine, provider: './providers/mine.py:Mine', word: '${{{{ run.name }}}}', artifacts: out}}
              - {{name: use, provider: python, file: use.py, requirements: needs.txt, args: "'1 2' $HOME", deps: [get, mine]}}
        """)
        said = user("run", "use").text
    assert said.endswith(f"downloaded\n{user.runs()[0]['name']}\n installed ['1 2', '$HOME']\n"), said


def test_an_image_that_does_not_exist(user: User) -> None:
    user.workflows("workflows: {name: x, image: 'registry.invalid/nothing:1', commands: [echo never]}")
    answer = user("run", "x", code=1)
    assert "can't be had" in answer.err
    assert "registry.invalid/nothing:1" in answer.err
    assert answer.out == b""


def test_what_ignores_sigterm_is_killed_after_the_grace(user: User) -> None:
    user.workflows("""
        workflows:
          - name: stubborn
            provider: bash
            commands: ['trap "" TERM; mkdir out; echo x > out/x; echo ready; while :; do sleep 0.1; done']
            artifacts: [out]
    """)
    name = user.submit("stubborn")
    user.wait_for_log(name, "ready")
    user("stop", name, "-y")
    assert user.wait(name)["status"] == "stopped"
    assert "out/x" in user("artifacts", name).text


def test_a_killed_runners_container_is_removed(user: User) -> None:
    user.workflows("workflows: {name: long, provider: bash, commands: [echo ready, sleep 600]}")
    name = user.submit("long")
    user.wait_for_log(name, "ready")
    assert len(engine.held(user)) == 1
    [pid_file] = (user.home / "runners").glob("*/runner.pid")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    assert user.wait(name)["status"] == "failed"
    assert "lost" in user.run(name)["jobs"][0]["message"]
    until(lambda: engine.held(user) == [])


def test_a_port_of_a_program_that_listens_inside_only(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        local = probe.getsockname()[1]
    bind = "127.0.0.1" if os.geteuid() == 0 and Path("/proc").is_dir() else "0.0.0.0"
    user.workflows(f"""
        workflows:
          - name: web
            provider: bash
            ports: ["8765:{local}"]
            commands: [echo served > page, python3 -m http.server 8765 --bind {bind}]
    """)
    process = user.start("run", "web")
    assert process.stderr
    assert until(lambda: re.search(rb"port 8765 at http://localhost:%d\n" % local, process.stderr.readline()))
    with urllib.request.urlopen(f"http://localhost:{local}/page", timeout=60) as page:
        assert page.read() == b"served\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_port_that_is_taken(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        local = taken.getsockname()[1]
        user.workflows(f"workflows: {{name: web, provider: bash, ports: ['80:{local}'], commands: [echo never]}}")
        answer = user("run", "web", code=1)
    assert f"port {local} is taken" in answer.err
    assert user.runs()[0]["jobs"][0]["reason"] == "start"
    assert answer.out == b""


def test_images_are_left_alone(user: User, image: str) -> None:
    user.workflows("workflows: {name: own, provider: docker, image: " + image + ", commands: [echo own]}")
    assert user("run", "own").out == b"own\n"
    assert DockerClient().image(image)


def test_what_a_setup_made_is_used_again_until_it_is_pruned(user: User) -> None:
    user.workflows("""
        workflows:
          - name: it
            env: [WORD=hidden-w0rd]
            setup: [echo building as $WORD, echo made > /usr/made, touch left]
            commands: [cat /usr/made, ls]
    """)
    assert b"building as hidden-w0rd" in user("run", "it").out
    again = user("run", "it").text
    assert "used again" in again and again.endswith("made\n")
    [image] = kept_images(user)
    assert b"hidden-w0rd" not in json.dumps(DockerClient().call("GET", f"/images/{image}/json")).encode()
    shown = user("prune", "cache", "--all", "-y").text
    assert "store" in shown and "local" in shown
    assert kept_images(user) == []


def kept_images(user: User) -> list[str]:
    label = json.dumps({"label": [f"dstack.setup.folder={user.home / 'setups'}"]})
    found = DockerClient().call("GET", "/images/json", {"filters": label})
    return [name for image in found for name in image["RepoTags"]]
