"""What a job leaves behind."""

from __future__ import annotations

import io
import tarfile

import pytest

from dstack_cloud.runner_bootstrap.link import LinkError
from tests.unit.runner.rig import Rig, tar_of

CACHE = {"caches": ["~/c"], "inputs": ["cache-0"]}


def test_files_folders_links_and_modes(runner: Rig) -> None:
    make = "mkdir -p out/empty; echo abc > out/f; chmod 750 out/f; ln -s f out/link; ln -s $PWD/out/f out/absolute"
    state = runner.run(
        make, "mkdir -p ~/m; echo home > ~/m/g", "echo one > single", artifacts=["out/", "./single", "~/m"]
    )
    assert dict(state.outputs[0]) == {"name": "artifacts", "bytes": 13, "files": 3}
    found = runner.output()
    assert sorted(found) == ["out", "out/absolute", "out/empty", "out/f", "out/link", "single", "~/m", "~/m/g"]
    assert found["out/f"].mode == 0o750
    assert found["out/empty"].isdir()
    assert (found["out/link"].linkname, found["out/absolute"].linkname) == ("f", "f")


def test_names_that_are_not_unicode(runner: Rig) -> None:
    runner.run("mkdir out; echo x > $'out/\\xff \\n'", artifacts=["out"])
    assert "out/\udcff \n" in runner.output()


def test_links_that_lead_out_are_left_out(runner: Rig) -> None:
    make = "mkdir out; ln -s /etc/passwd out/a; ln -s ../../state.json out/b; ln -s .. out/up; ln -s gone out/gone; ln -s /etc whole"
    state = runner.run(make, "ln -s .. out/p; ln -s p/../state.json out/q", artifacts=["out", "whole", "whole/passwd"])
    assert sorted(runner.output()) == ["out", "out/gone", "out/p", "out/up"]
    warned = "\n".join(state.warnings)
    assert all(name in warned for name in ("out/a", "out/b", "out/q", "whole", "whole/passwd"))


def test_missing_artifacts_are_warned_of(runner: Rig) -> None:
    state = runner.run("true", artifacts=["nothing"])
    assert "nothing" in state.warnings[0]
    assert runner.output() == {}


def test_each_file_once(runner: Rig) -> None:
    runner.run("mkdir -p a/b; echo x > a/b/c", artifacts=["a/b", "a", "."])
    data = b"".join(runner.link.output("artifacts"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert sorted(archive.getnames()) == ["a", "a/b", "a/b/c"]


def test_outputs_are_saved_when_the_job_failed(runner: Rig) -> None:
    state = runner.run("echo x > f", "exit 9", artifacts=["f"])
    assert state.exit_code == 9
    assert runner.output()["f"].size == 2


def test_a_file_that_vanishes_before_it_is_saved(runner: Rig) -> None:
    runner.run("mkdir out; echo 1 > out/one; echo 2 > out/two; ln -s /nowhere/at/all x", artifacts=["out"])
    (runner.folder / "work" / "out" / "one").unlink()
    assert sorted(runner.output()) == ["out", "out/two"]


def test_ten_thousand_small_files(runner: Rig) -> None:
    state = runner.run("mkdir out; cd out; seq 10000 | split -l 1 -a 4 -d", artifacts=["out"])
    assert state.outputs[0]["files"] == 10_000
    assert len(runner.output()) == 10_001


@pytest.mark.parametrize(("command", "changed"), [("true", False), ("echo x > ~/c/new", True), ("rm ~/c/a", True)])
def test_cache_that_changed(runner: Rig, command: str, changed: bool) -> None:
    runner.submit(command, **CACHE)
    runner.link.put_input("cache-0", [tar_of({"a": b"kept"})])
    (output,) = runner.wait("uploading").outputs
    assert (output["name"], output["path"], output["changed"]) == ("cache-0", "~/c", changed)


def test_cache_keeps_links_as_they_are(runner: Rig) -> None:
    runner.run("mkdir ~/c; ln -s /usr/bin/env ~/c/env", caches=["~/c"])
    assert runner.output("cache-0")["env"].linkname == "/usr/bin/env"


def test_only_what_is_listed_and_only_while_it_waits(runner: Rig) -> None:
    runner.submit("echo ready", "until [ -e go ]; do sleep 0.05; done", **CACHE)
    with pytest.raises(LinkError, match="no output 'cache-0'"):
        runner.output("cache-0")
    runner.link.put_input("cache-0", [tar_of({})])
    runner.wait_log(b"ready")
    for name in ("artifacts", "cache-0", "other"):
        with pytest.raises(LinkError, match=f"no output '{name}'"):
            runner.output(name)
    with pytest.raises(LinkError, match="nothing to collect yet"):
        runner.link.collected()
    (runner.folder / "work" / "go").touch()
    runner.wait("uploading")
    with pytest.raises(LinkError, match="no output 'artifacts'"):
        runner.output()
