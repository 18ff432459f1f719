"""Files, functions, parameter lists and interfaces stay small. A reason can beat a number: then it stands in EXCEPTIONS."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import parsed, python_files, shown

FILE_LINES = 400
FUNCTION_LINES = 50
TEST_LINES = 25
PARAMETERS = 6
INTERFACE_METHODS = 8

# "path" or "path:function" -> why it may be larger
EXCEPTIONS: dict[str, str] = {}

EVERYWHERE = ("dstack_cloud", "tests", "bench", "examples")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, Function):
            yield f"{shown(path)}:{node.name}", node


def code_lines(function: Function) -> int:
    """From `def` to the last line, less the docstring."""
    length = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        length -= (first.end_lineno or 0) - first.lineno + 1
    return length


def parameters(function: Function) -> int:
    arguments = function.args
    named = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def test_no_file_is_long() -> None:
    lengths = {shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*EVERYWHERE)}
    assert not {name: length for name, length in lengths.items() if length > FILE_LINES and name not in EXCEPTIONS}


def test_no_function_is_long() -> None:
    found = {}
    for path in python_files(*EVERYWHERE):
        for name, function in functions(path):
            limit = TEST_LINES if function.name.startswith("test_") else FUNCTION_LINES
            if code_lines(function) > limit and name not in EXCEPTIONS:
                found[name] = code_lines(function)
    assert not found


def test_no_function_has_many_parameters() -> None:
    found = {}
    for path in python_files(*EVERYWHERE):
        for name, function in functions(path):
            if parameters(function) > PARAMETERS and name not in EXCEPTIONS:
                found[name] = parameters(function)
    assert not found


def test_no_interface_has_many_methods() -> None:
    found = {}
    for path in python_files("dstack_cloud"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef) and "Protocol" in {getattr(base, "id", "") for base in node.bases}:
                methods = [part for part in node.body if isinstance(part, Function)]
                if len(methods) > INTERFACE_METHODS:
                    found[f"{shown(path)}:{node.name}"] = len(methods)
    assert not found
