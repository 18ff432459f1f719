"""What is kept of setups of processes, while several jobs reach for it at once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dstack_cloud.runner_bootstrap.payload import interpreter
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import parse_job
from dstack_cloud.runner_bootstrap.payload.process_setup import EnvironmentKeep, remove_kept
from dstack_cloud.runner_bootstrap.payload.spool import Spool

KEY = "key"
FILES = 100


class Attempt:
    def __init__(self, base: Path, name: str) -> None:
        self.folder = Folder(base / name)
        self.folder.make()
        job = parse_job({"attempt": name, "mode": "process", "setup": ["true"]})
        self.keep = EnvironmentKeep(self.folder, job, Spool(self.folder.log, self.folder.log_times), str(base / "kept"))

    def build(self) -> None:
        """Scripts that say where they lie, and files that all say who built them."""
        programs = self.folder.setup.python / "bin"
        programs.mkdir(parents=True)
        for number in range(FILES):
            (programs / f"{number}").write_text(f"#!{programs}/python of {self.folder.root.name}\n")
        self.keep.keep(KEY)

    def has(self) -> set[str]:
        """What its files say, each thing once."""
        return {file.read_text() for file in (self.folder.python / "bin").iterdir()}

    def has_it_whole(self) -> bool:
        [said] = self.has()
        files = list((self.folder.python / "bin").iterdir())
        return said.startswith(f"#!{self.folder.python}/bin/python ") and len(files) == FILES


@contextmanager
def meanwhile(do: Callable[[], None]) -> Iterator[None]:
    over = threading.Event()

    def again_and_again() -> None:
        while not over.is_set():
            do()

    thread = threading.Thread(target=again_and_again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_job_has_one_whole_while_others_replace_it(tmp_path: Path) -> None:
    numbers = itertools.count()
    Attempt(tmp_path, "first").build()
    mine = Attempt(tmp_path, "mine")
    with meanwhile(lambda: Attempt(tmp_path, f"other-{next(numbers)}").build()):
        found = [mine.has_it_whole() for _ in range(30) if mine.keep.use(KEY)]
    assert found and all(found)


def test_who_built_it_has_it_whatever_becomes_of_what_is_kept(tmp_path: Path) -> None:
    with meanwhile(lambda: remove_kept(tmp_path / "kept" / KEY)):
        for number in range(15):
            mine = Attempt(tmp_path, f"mine-{number}")
            mine.build()
            assert mine.has_it_whole()


@pytest.mark.parametrize("place", ["lib/python3.11/site-packages", "local/lib/python3.11/dist-packages"])
def test_what_is_installed_into_the_interpreter_counts(tmp_path: Path, place: str) -> None:
    python, packages = tmp_path / "usr/bin/python3.11", tmp_path / "usr" / place
    for folder in (python.parent, packages):
        folder.mkdir(parents=True)
    python.touch()
    found = []
    for name in ("one", "two", "three"):
        mine = Attempt(tmp_path, name)
        interpreter.make_environment(python, "3.11", mine.folder.python)
        found.append(mine.keep.base())
        if name == "two":
            (packages / "installed").mkdir()
    assert found[0] == found[1] != found[2]
