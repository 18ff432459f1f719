"""A runner that can't write: what stands in its way is a folder where it wants to put a file."""

from __future__ import annotations

from tests.unit.runner.rig import Rig, until


def test_the_end_of_a_job_is_written_down_as_soon_as_it_can_be(rig: Rig) -> None:
    rig.start()
    rig.submit("echo ready", "until [ -e go ]; do sleep 0.05; done", "exit 4")
    rig.wait_log(b"ready")
    obstacle = rig.folder / "state.json.partial"
    obstacle.mkdir()
    (rig.folder / "work" / "go").touch()
    until(lambda: "can't be written down" in rig.link.state().message, "the runner's complaint")
    assert rig.link.state().phase == "running"
    obstacle.rmdir()
    assert rig.wait("uploading").exit_code == 4


def test_a_log_without_its_times_is_whole(rig: Rig) -> None:
    rig.start()
    (rig.folder / "log_times").mkdir()
    state = rig.run("echo one", "echo two")
    assert (state.phase, state.log_complete, rig.log()) == ("uploading", True, b"one\ntwo\n")
