"""The clouds' backends are built alike: the same files in each, with what they share in the same order. `aws` is the model."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGE, ROOT, parsed, python_files

CLOUDS = ("aws", "gcp", "azure")
BACKENDS = PACKAGE / "backends"
# what a cloud has beside the files of aws, and why
MORE = {
    "kinds.py": "which GPU or disk a machine type has, and its API doesn't tell; EC2's does",
    "resources/ending.py": "a machine that powered itself off stays, and is billed; on AWS it is gone",
    "resources/operations.py": "a change is answered before it is done; EC2's launch is done when it is answered",
    "resources/quota.py": "a quota is read ahead, because its refusal comes late; EC2's comes at once",
}
MORE_OF_ONE = {
    "azure": {
        "resources/groups.py": "all that is made on Azure is in a resource group",
        "resources/driver.py": "Azure has an extension that installs NVIDIA's driver where an image has none",
    }
}
# what each emulated cloud has, whatever it emulates
EMULATED = {"__init__.py", "__main__.py", "calls.py", "cloud.py", "control.py", "faults.py", "fixtures.py", "prices.py", "server.py",
            "world.py"}  # fmt: skip
# what a name has of its cloud: AwsBackend, S3Access
OWN = re.compile(r"^(?:Aws|Gcp|Azure|S3|Gs|Blob)(?=[A-Z])")
PAIRS = list(itertools.combinations(CLOUDS, 2))


def files(cloud: str) -> dict[str, Path]:
    return {
        path.relative_to(BACKENDS / cloud).as_posix(): path for path in python_files(f"dstack_cloud/backends/{cloud}")
    }


def shared_files() -> list[str]:
    return sorted(set(files("gcp")) & set(files("azure")) | set(files("aws")))


def targets(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def public(nodes: list[ast.stmt]) -> list[str]:
    """Classes, functions and constants in the order in which they stand."""
    names = [OWN.sub("", name) for node in nodes for name in targets(node)]
    return list(dict.fromkeys(name for name in names if not name.startswith("_")))


def order(path: Path) -> dict[str, list[str]]:
    """What stands in a file ("") and in each of its classes."""
    body = parsed(path).body
    classes = {OWN.sub("", node.name): public(node.body) for node in body if isinstance(node, ast.ClassDef)}
    return {"": public(body), **classes}


def kinds_of_errors(path: Path) -> list[str]:
    """The classes of errors in the table KNOWN, in the order in which they stand there, each run of one once."""
    (table,) = [
        node.value for node in parsed(path).body if isinstance(node, ast.AnnAssign) and "KNOWN" in targets(node)
    ]
    assert isinstance(table, ast.Dict)
    kinds = [
        each.args[0].id for each in table.values if isinstance(each, ast.Call) and isinstance(each.args[0], ast.Name)
    ]
    return [kind for kind, _ in itertools.groupby(kinds)]


@pytest.mark.parametrize("cloud", CLOUDS[1:])
def test_each_cloud_has_the_files_of_the_model_and_few_more(cloud: str) -> None:
    assert set(files(cloud)) == {*files("aws"), *MORE, *MORE_OF_ONE.get(cloud, {})}


@pytest.mark.parametrize("name", shared_files())
def test_what_clouds_share_stands_in_the_same_order(name: str) -> None:
    orders = {cloud: order(files(cloud)[name]) for cloud in CLOUDS if name in files(cloud)}
    for one, other in itertools.combinations(orders, 2):
        for place in orders[one].keys() & orders[other].keys():
            first, second = orders[one][place], orders[other][place]
            there = [each for each in second if each in first]
            assert [each for each in first if each in second] == there, f"{name} {place}: {one} and {other}"


def test_tables_of_errors_go_through_the_kinds_in_the_same_order() -> None:
    tables = {cloud: kinds_of_errors(BACKENDS / cloud / "errors.py") for cloud in CLOUDS}
    for cloud, kinds in tables.items():
        assert len(kinds) == len(set(kinds)), f"{cloud}: what is of one kind stands together"
        assert kinds == [kind for kind in tables["aws"] if kind in kinds], cloud


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_unit_test_is_named_for_the_file_that_it_tests(cloud: str) -> None:
    modules = {Path(name).parent.name if name.endswith("__init__.py") else Path(name).stem for name in files(cloud)}
    tests = {path.stem for path in python_files(f"tests/unit/{cloud}") if path.stem.startswith("test_")}
    assert {name.removeprefix("test_") for name in tests} <= modules


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_emulated_cloud_is_held_and_steered_alike(cloud: str) -> None:
    folder = ROOT / "tests/fakes" / cloud
    assert {path.name for path in python_files(f"tests/fakes/{cloud}") if path.parent == folder} >= EMULATED
