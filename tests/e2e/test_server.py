"""The background server: private, alone, of the right version, and gone when nobody needs it."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import dstack_cloud
from tests.e2e.conftest import User, running, until

HI = "workflows: {name: hi, provider: bash, commands: [echo hi]}"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_its_user_can_reach_it_or_read_what_it_keeps(user: User) -> None:
    user.workflows(HI)
    user("run", "hi")
    assert mode(user.home) == 0o700
    assert mode(user.home / "server.sock") == 0o600
    assert mode(user.home / "secret.key") == 0o600


def test_it_ends_by_itself_when_nothing_needs_it(user: User) -> None:
    user.env["DSTACK_SERVER_IDLE"] = "1"
    user.workflows(HI)
    user("run", "hi")
    pid = user.server_pid()
    until(lambda: not running(pid))
    assert not (user.home / "server.sock").exists()
    assert "hi" in user("logs", user.runs()[0]["name"]).text


def test_it_stays_while_a_job_runs(user: User) -> None:
    user.env["DSTACK_SERVER_IDLE"] = "0.5"
    user.workflows("workflows: {name: wait, provider: bash, commands: [echo ready, sleep 4, echo over]}")
    name = user.submit("wait")
    pid = user.server_pid()
    until(lambda: "over" in b"".join(path.read_bytes() for path in user.home.glob("runners/*/log")).decode())
    assert running(pid)
    assert user.wait(name)["status"] == "done"


def test_stopping_it_leaves_the_jobs_alone(user: User) -> None:
    user.workflows("workflows: {name: wait, provider: bash, commands: [echo ready, sleep 2, echo over]}")
    name = user.submit("wait")
    user.wait_for_log(name, "ready")
    user("server", "stop")
    assert user.wait(name)["status"] == "done"
    assert user("logs", name).text == "ready\nover\n"


def test_its_status_can_be_asked(user: User) -> None:
    user("server", "status", code=None)
    user("ps")
    status = json.loads(user("server", "status", "--json").out)
    assert status["pid"] == user.server_pid()


def test_a_server_of_another_version_is_replaced_and_its_jobs_go_on(user: User) -> None:
    user.workflows("workflows: {name: wait, provider: bash, commands: [echo ready, sleep 3, echo over]}")
    name = user.submit("wait")
    user("server", "stop")
    older = user.home.parent / "older"
    shutil.copytree(Path(dstack_cloud.__file__).parent, older / "dstack_cloud")
    (older / "dstack_cloud" / "version.py").write_text('__version__ = "0.0.1"\n')
    environment = {**user.environment, "PYTHONPATH": str(older)}
    server = subprocess.Popen([sys.executable, "-m", "dstack_cloud.server"], env=environment, cwd=older)
    until(lambda: (user.home / "server.sock").exists())
    user("ps")
    assert user.wait(name)["status"] == "done"
    assert server.wait(timeout=30) == 0
    assert json.loads((user.home / "server.json").read_text())["version"] == dstack_cloud.__version__
    assert user("logs", name).text == "ready\nover\n"
