"""kill -9 of the server at any moment: the run goes on or ends with the truth, and nothing is started twice."""

import os
import signal
from pathlib import Path

from tests.e2e.conftest import User, read_until, running, until

COUNT = """
    workflows:
      - name: count
        provider: bash
        commands:
          - echo started >> "$MARKS"
          - for i in $(seq 1 30); do echo line $i; sleep 0.1; done
          - mkdir -p out && echo 1 > out/x
        artifacts: [out]
"""

EXPECTED = "".join(f"line {n}\n" for n in range(1, 31))


def prepare(user: User) -> Path:
    marks = user.home.parent / "marks"
    user.workflows(COUNT)
    return marks


def test_a_killed_server_is_replaced_and_the_run_goes_on(user: User) -> None:
    marks = prepare(user)
    name = user.submit("count", "-e", f"MARKS={marks}")
    user.wait_for_log(name, "line 3\n")
    user.kill_server()
    assert user.wait(name)["status"] == "done"
    assert user("logs", name).text == EXPECTED
    assert marks.read_text() == "started\n"
    assert "out/x" in user("artifacts", name).text


def test_a_run_that_ends_while_no_server_lives_is_caught_up_with(user: User) -> None:
    marks = prepare(user)
    name = user.submit("count", "-e", f"MARKS={marks}")
    user.wait_for_log(name, "line 3\n")
    user.kill_server()
    spool = until(lambda: [p for p in (user.home / "runners").glob("*/") if (p / "lock").exists()])
    assert spool
    until(lambda: not any("seq 1 30" in c for c in job_commands()))
    assert user.wait(name)["status"] == "done"
    assert user("logs", name).text == EXPECTED


def job_commands() -> list[str]:
    from tests.e2e.test_run import commands

    return commands()


def test_killed_at_every_moment_of_the_start(user: User) -> None:
    marks = prepare(user)
    names = []
    for _ in range(6):
        names.append(user.submit("count", "-e", f"MARKS={marks}"))
        user.kill_server()
    for name in names:
        assert user.wait(name)["status"] == "done"
        assert user("logs", name).text == EXPECTED
    assert marks.read_text() == "started\n" * len(names)


def test_an_attached_terminal_survives_the_server(user: User) -> None:
    marks = prepare(user)
    process = user.start("run", "count", "-e", f"MARKS={marks}")
    read_until(process, b"line 2\n")
    user.kill_server()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.decode().startswith("line 3\n")
    assert out.decode().count("line 30\n") == 1 and out.decode().count("line 7\n") == 1


def test_a_killed_runner_ends_the_job_with_the_truth(user: User) -> None:
    user.workflows("workflows: {name: long, provider: bash, commands: [echo ready, sleep 600]}")
    name = user.submit("long")
    user.wait_for_log(name, "ready")
    [pid_file] = (user.home / "runners").glob("*/runner.pid")
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    run = user.wait(name)
    assert run["status"] == "failed"
    assert "lost" in run["jobs"][0]["message"] or "runner" in run["jobs"][0]["message"]


def test_two_first_commands_at_once_start_one_server(user: User) -> None:
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi]}")
    processes = [user.start("ps", "-a") for _ in range(4)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    # the others find the lock taken and leave
    until(lambda: len(server_processes(user)) == 1)


def server_processes(user: User) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            environ = entry.read_bytes()
            command = (entry.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if f"DSTACK_HOME={user.home}".encode() in environ and b"dstack_cloud.server" in command:
            found.append(int(entry.parent.name))
    return [pid for pid in found if running(pid)]


def test_a_stale_socket_is_no_obstacle(user: User) -> None:
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi]}")
    user("ps", "-a")
    user.kill_server()
    assert (user.home / "server.sock").exists()
    assert "hi" in user("run", "hi").text


def test_a_state_folder_whose_path_is_too_long_for_a_socket(user: User) -> None:
    user.home = user.home / ("x" * 60) / ("y" * 60)
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi]}")
    assert "hi" in user("run", "hi").text
