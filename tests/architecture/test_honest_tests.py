"""Tests talk to real things and wait for what they need, not for time to pass."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import parsed, python_files, shown

MOCKS = {"mock", "unittest.mock", "pytest_mock", "MagicMock", "responses", "freezegun"}


def walk(node: ast.AST, *, in_loop: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below `node`, and whether it is repeated by a loop of the same function."""
    for child in ast.iter_child_nodes(node):
        repeated = in_loop or isinstance(node, (ast.While, ast.For))
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            repeated = False
        yield child, repeated
        yield from walk(child, in_loop=repeated)


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module or "", *(alias.name for alias in node.names)}
    return set()


def test_no_test_sleeps_but_between_two_looks() -> None:
    found = []
    for path in python_files("tests"):
        for node, repeated in walk(parsed(path)):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in ("time.sleep", "sleep") and not repeated:
                found.append(f"{shown(path)}:{getattr(node, 'lineno', 0)}")
    assert not found, "poll with a deadline instead"


def test_no_mocks() -> None:
    found = [
        f"{shown(path)}: {name}"
        for path in python_files("tests")
        for node in ast.walk(parsed(path))
        for name in imported(node) & MOCKS
    ]
    assert not found, "use a real folder, process, Docker or sshd, or a fake of tests/fakes"


def test_monkeypatch_changes_only_environment_and_folder() -> None:
    found = [
        f"{shown(path)}:{node.lineno}"
        for path in python_files("tests")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("monkeypatch.setattr", "monkeypatch.delattr")
    ]
    assert not found, "pass the thing as an argument instead"
