"""Who killed the job?"""

from __future__ import annotations

from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload.engine import Engine
from dstack_cloud.runner_bootstrap.payload.executor import Ending
from dstack_cloud.runner_bootstrap.payload.memory import judge, kills, over_limit
from tests.unit.runner.rig import Rig

HUNGRY = "x=$(head -c 100000000 /dev/zero | tr '\\0' y); echo ${#x}"
WAITS = "until [ -e go ]; do sleep 0.05; done"


def test_the_kernels_count(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 7\nswap_ra 2\n")
    assert kills(tmp_path / "vmstat") == 7
    (tmp_path / "vmstat").write_text("nr_free_pages 1\n")
    assert kills(tmp_path / "vmstat") == kills(tmp_path / "nothing") == 0


@pytest.mark.parametrize(
    ("ending", "before", "now", "reason"),
    [
        (Ending(137), 1, 2, "out_of_memory"),
        (Ending(137), 2, 2, ""),
        (Ending(1), 1, 2, ""),
        (Ending(137, "runner"), 1, 2, "runner"),
    ],
)
def test_judge(ending: Ending, before: int, now: int, reason: str) -> None:
    judged = judge(ending, before, now)
    assert (judged.reason, judged.exit_code) == (reason, ending.exit_code)


def test_a_job_that_did_without_what_was_killed_has_ended_well() -> None:
    assert over_limit(0, 2**30) == Ending(0)
    assert "limit of 1 GB" in over_limit(137, 2**30).message


def kernel_kills(image: str) -> None:
    """Makes the kernel kill a process for memory, in a container of its own."""
    limits = {"Memory": 2**25, "MemorySwap": 2**25}
    made = Engine().create({"Image": image, "Entrypoint": ["sh", "-c", HUNGRY], "HostConfig": limits})
    try:
        Engine().start(made)
        assert Engine().wait(made) == 137
    finally:
        Engine().remove(made)


@pytest.mark.docker
def test_a_process_that_the_kernel_killed_for_memory(runner: Rig, image: str) -> None:
    runner.submit("echo ready", WAITS, "kill -9 $$")
    runner.wait_log(b"ready")
    kernel_kills(image)
    (runner.folder / "work" / "go").touch()
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason) == (137, "out_of_memory")
    assert "out of memory" in state.message


@pytest.mark.docker
def test_a_container_without_a_limit(runner: Rig, image: str) -> None:
    runner.submit("echo ready", WAITS, "kill -9 $$", mode="docker", image=image)
    runner.wait_log(b"ready")
    kernel_kills(image)
    (runner.folder / "work" / "go").touch()
    state = runner.wait("uploading")
    assert (state.exit_code, state.reason) == (137, "out_of_memory")
