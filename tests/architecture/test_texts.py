"""What no file of the repository may hold."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.architecture.sources import ROOT, parsed, python_files, repository_files, shown

# with a bracket where it takes one, so that this file doesn't find itself
REGISTRIES = (r"pypi\.org", r"pythonhosted\.org", r"npmjs\.(?:org|com)", r"deb\.debian\.org")
MACHINE_PATHS = (re.escape(f"{ROOT}/"), r"/Users/\w")
UNFINISHED = (r"TOD[O]", r"FIXM[E]", r"XX[X]", r"NotImplemented[E]rror")


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in repository_files():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # not a text
    return found


def places(pattern: str) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{shown(path)}:{number}: {line.strip()[:100]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if wanted.search(line)
    ]


@pytest.mark.parametrize("pattern", REGISTRIES)
def test_no_registry_is_named(pattern: str) -> None:
    assert not places(pattern), "which registry serves packages is the user's own configuration"


@pytest.mark.parametrize("pattern", MACHINE_PATHS)
def test_no_path_of_a_developers_machine(pattern: str) -> None:
    assert not places(pattern)


@pytest.mark.parametrize("word", UNFINISHED)
def test_nothing_is_left_for_later(word: str) -> None:
    assert not places(rf"\b{word}\b")


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in repository_files():
        if path.suffix == ".md":
            targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
            local = [target for target in targets if "://" not in target]
            broken += [f"{shown(path)}: {target}" for target in local if not (path.parent / target).exists()]
    assert not broken


def test_every_requirement_is_pinned_within_its_limits() -> None:
    pins = re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    wrong = []
    for line in importlib.metadata.requires("dstack-cloud") or []:
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        versions = [version for pinned, version in pins if pinned == name]
        if name != "dstack-cloud" and not (versions and all(requirement.specifier.contains(v) for v in versions)):
            wrong.append(f"{line} (pinned: {', '.join(versions) or 'no'})")
    assert not wrong, "run `make setup constraints`"


def test_every_error_stands_in_the_tree() -> None:
    (path,) = [path for path in python_files("dstack_cloud") if shown(path) == "dstack_cloud/errors.py"]
    tree = parsed(path)
    drawn = str(tree.body[0].value.value)  # type: ignore[attr-defined]
    classes = re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert not [name for name in classes if name not in drawn]
