"""`dstack run` on this computer, as a process group."""

import json
import signal

from tests.e2e.conftest import User, until

HELLO = """
    workflows:
      - name: hello
        provider: bash
        commands:
          - echo "hello, $(cat name.txt)"
"""


def test_hello(user: User) -> None:
    user.workflows(HELLO)
    user.write("name.txt", "world\n")
    answer = user("run", "hello")
    assert b"hello, world\n" in answer.out
    assert "RUN" in answer.text or "RUN" in answer.err
    [run] = user.runs()
    assert (run["status"], run["exit_code"]) == ("done", 0)


def test_the_jobs_exit_code_is_the_commands_own(user: User) -> None:
    user.workflows("workflows: {name: bad, provider: bash, commands: [echo before, exit 7, echo after]}")
    answer = user("run", "bad", code=7)
    assert b"before" in answer.out and b"after" not in answer.out
    assert user.runs()[0]["status"] == "failed"


def test_detached_prints_the_name_and_the_log_can_be_read_later(user: User) -> None:
    user.workflows("workflows: {name: count, provider: bash, commands: [seq 1 2000]}")
    name = user.submit("count")
    user.wait(name, "done")
    assert user("logs", name).out == b"".join(b"%d\n" % n for n in range(1, 2001))


def test_a_log_is_byte_exact(user: User) -> None:
    user.workflows("workflows: {name: raw, provider: bash, commands: [python3 make.py]}")
    user.write("make.py", "import os\nos.write(1, bytes(range(256)) * 9 + b'x' * 3_000_000 + b'no newline')\n")
    expected = bytes(range(256)) * 9 + b"x" * 3_000_000 + b"no newline"
    answer = user("run", "raw")
    assert expected in answer.out
    assert user("logs", user.runs()[0]["name"]).out == expected


def test_artifacts_are_saved_also_when_the_job_fails(user: User) -> None:
    user.workflows("""
        workflows:
          - name: train
            provider: bash
            commands: [mkdir -p out/deep, echo weights > out/deep/model.bin, ln -s deep/model.bin out/latest, exit 3]
            artifacts: [{path: ./out}]
    """)
    user("run", "train", code=3)
    name = user.runs()[0]["name"]
    listed = {entry["path"]: entry for entry in json.loads(user("artifacts", name, "--json").out)}
    assert listed["out/deep/model.bin"]["size"] == 8
    user("artifacts", name, "--output", "got")
    assert (user.folder / "got/out/deep/model.bin").read_text() == "weights\n"
    assert (user.folder / "got/out/latest").is_symlink()


def test_a_cache_is_there_in_the_next_run_and_prune_removes_it(user: User) -> None:
    user.workflows("""
        workflows:
          - name: cached
            provider: bash
            commands: ["cat ~/.cache/thing 2>/dev/null || echo cold", mkdir -p ~/.cache, echo warm > ~/.cache/thing]
            cache: [~/.cache]
    """)
    assert b"cold" in user("run", "cached").out
    assert b"warm" in user("run", "cached").out
    assert "cached" in user("prune", "cache", "cached", "-y").text
    assert b"cold" in user("run", "cached").out


def test_the_source_is_an_exact_copy_without_what_gitignore_names(user: User) -> None:
    user.workflows(
        "workflows: {name: ls, provider: bash, commands: ['find . -path ./.dstack -prune -o -print | sort', ./tool.sh]}"
    )
    user.write(".gitignore", "*.log\n/data/\n")
    user.write("noise.log", "x")
    user.write("data/big.bin", "x")
    user.write("src/main.py", "print()\n")
    (user.folder / "empty").mkdir()
    tool = user.write("tool.sh", "#!/bin/sh\necho tool ran\n")
    tool.chmod(0o755)
    (user.folder / "link").symlink_to("src/main.py")
    text = user("run", "ls").text
    for path in ("./empty", "./link", "./src/main.py", "tool ran"):
        assert path in text
    assert "noise.log" not in text and "big.bin" not in text


def test_run_args_reach_the_command_quoted(user: User) -> None:
    user.workflows("""
        workflows:
          - name: args
            provider: bash
            commands: ['for a in ${{ run.args }}; do echo "[$a]"; done']
    """)
    text = user("run", "args", "--lr", "0.1", "two words", "$HOME").text
    assert "[--lr]\n[0.1]\n[two words]\n[$HOME]\n" in text


def test_env_comes_from_the_file_the_caller_and_the_command_line(user: User) -> None:
    user.workflows("""
        workflows:
          - name: env
            provider: bash
            env: [A=file, FROM_CALLER]
            commands: ['echo "$A $FROM_CALLER $EXTRA"']
    """)
    user.env["FROM_CALLER"] = "caller value"
    assert "file caller value more" in user("run", "env", "-e", "EXTRA=more").text


def test_ctrl_c_once_stops_and_saves(user: User) -> None:
    user.workflows("""
        workflows:
          - name: long
            provider: bash
            commands: ['trap "echo saving; echo kept > out/x; exit 0" TERM; mkdir out; echo ready; sleep 600 & wait']
            artifacts: [out]
    """)
    process = user.start("run", "long")
    assert process.stdout is not None
    until(lambda: b"ready" in process.stdout.readline())
    process.send_signal(signal.SIGINT)
    out, _err = process.communicate(timeout=60)
    assert b"saving" in out
    [run] = user.runs()
    assert run["status"] == "stopped"
    assert "out/x" in user("artifacts", run["name"]).text


def test_ctrl_c_twice_aborts(user: User) -> None:
    user.workflows("""
        workflows:
          - name: stubborn
            provider: bash
            commands: ['trap "" TERM; mkdir out; echo x > out/x; echo ready; while :; do sleep 0.1; done']
            artifacts: [out]
    """)
    process = user.start("run", "stubborn")
    assert process.stdout is not None
    until(lambda: b"ready" in process.stdout.readline())
    process.send_signal(signal.SIGINT)
    until(lambda: user.runs()[0]["status"] == "stopping")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    [run] = user.runs()
    assert run["status"] == "aborted"
    assert "out/x" not in user("artifacts", run["name"], code=None).text


def test_stop_from_another_terminal(user: User) -> None:
    user.workflows("workflows: {name: long, provider: bash, commands: [echo ready, sleep 600]}")
    name = user.submit("long")
    user.wait_for_log(name, "ready")
    user("stop", name, "-y")
    assert user.wait(name)["status"] == "stopped"


def test_max_duration_ends_a_job_and_says_so(user: User) -> None:
    user.workflows("workflows: {name: slow, provider: bash, max_duration: 1s, commands: [sleep 600]}")
    name = user.submit("slow")
    run = user.wait(name)
    assert run["status"] == "failed"
    assert "max_duration" in run["jobs"][0]["message"]


def test_background_children_do_not_outlive_the_commands(user: User) -> None:
    user.workflows("""
        workflows:
          - name: leaky
            provider: bash
            commands: ['setsid sleep 987654 & sleep 987653 & echo started']
    """)
    user("run", "leaky")
    found = until(lambda: [c for c in commands() if "98765" in c] == [])
    assert found


def commands() -> list[str]:
    from pathlib import Path

    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
