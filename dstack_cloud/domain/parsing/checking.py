"""From the texts of `.dstack` to workflows and problems. Nothing is read from disk here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import ValidationError

from dstack_cloud.domain.parsing import sentences
from dstack_cloud.domain.parsing.dialect import read_options, spell
from dstack_cloud.domain.parsing.known import BUILT_IN, Known
from dstack_cloud.domain.parsing.model import Body, Workflow
from dstack_cloud.domain.parsing.problems import Finding, Path, Problem, nearest, printable, written
from dstack_cloud.domain.parsing.rules import bad_references, broken_rules, provider_of
from dstack_cloud.domain.parsing.source import Fields, Items, Mark, Scalar, Tree, read
from dstack_cloud.domain.parsing.values import found, is_name
from dstack_cloud.providers.description import Description

_VARIABLES = {"variables", "configs", "config"}
LONGEST_WHERE = 200
LONGEST_TEXT = 600
_EXAMPLE = "begin with `workflows:` and a list of workflows below it"


@dataclass(frozen=True)
class Checked:
    """`workflows` are those without any problem, in the files' order; `problems` are all of all files."""

    workflows: list[Workflow]
    problems: list[Problem]


def check(files: Sequence[tuple[str, str]], known: Known = BUILT_IN) -> Checked:
    """Reads (path, text) of every file of `.dstack`; those of variables are left to another reader. Never raises."""
    variables = any(_has_variables(path) for path, _ in files)
    readings = [_File(path, variables, known) for path, _ in files if not _has_variables(path)]
    texts = [text for path, text in files if not _has_variables(path)]
    for reading, text in zip(readings, texts, strict=True):
        reading.read(text)
    problems = {problem for reading in readings for problem in reading.problems}
    repeated = _repeated([name for reading in readings for name in reading.names])
    problems.update(_repeat(same) for same in repeated.values())
    workflows = [workflow for reading in readings for workflow in reading.workflows if workflow.name not in repeated]
    return Checked(workflows, sorted(problems, key=lambda each: (each.file, each.line, each.column, each.text)))


@dataclass(frozen=True)
class _Name:
    """A workflow's name and where it stands, whether or not the rest of the workflow is right."""

    name: str
    file: str
    mark: Mark
    where: str


class _File:
    """One file: what was read of it, and what is wrong with it."""

    def __init__(self, path: str, variables: bool, known: Known) -> None:
        self.path = path
        self._known = known
        self.workflows: list[Workflow] = []
        self.problems: list[Problem] = []
        self.names: list[_Name] = []
        self._variables = variables

    def read(self, text: str) -> None:
        root, faults = read(text)
        for fault in faults:
            place = f"`{written(fault.where)}`: " if fault.where and fault.text.startswith(("a ", "the ")) else ""
            self._add(fault.mark, written(fault.where), f"{place}{fault.text}", fault.hint)
        broken = {fault.where[:2] for fault in faults}
        if isinstance(root, Fields):
            self._read_root(root, broken)
        elif root is None or (isinstance(root, Scalar) and root.kind == "null"):
            if not faults:
                self._add(Mark(1, 1), "", "the file is empty", _EXAMPLE)
        else:
            hint = "write `workflows:` above the list" if isinstance(root, Items) else _EXAMPLE
            self._add(root.mark, "", f"the file must be a mapping, found {found(root)}", hint)

    def _read_root(self, root: Fields, broken: set[Path]) -> None:
        for key in root:
            if key != "workflows" and not key.startswith("x-"):
                near = "did you mean `workflows`?" if nearest(key, ["workflows"]) else "a file has `workflows:` only"
                hint = "put it into the list below `workflows:`" if key in Body.model_fields else near
                self._add(root.key_marks[key], key, f"`{key}` is an unknown field", hint)
        listed = root.get("workflows")
        if listed is None:
            if all(key.startswith("x-") for key in root):
                self._add(root.mark, "", "the file has no `workflows`", _EXAMPLE)
        elif isinstance(listed, Fields):
            self._read_workflow(root, listed, ("workflows",), broken)
        elif isinstance(listed, Items):
            for index, item in enumerate(listed):
                self._read_workflow(root, item, ("workflows", index), broken)
        else:
            mark = root.key_marks["workflows"]
            self._add(mark, "workflows", f"`workflows` must be a list of workflows, found {found(listed)}", _EXAMPLE)

    def _read_workflow(self, root: Fields, tree: Tree, base: Path, broken: set[Path]) -> None:
        before = len(self.problems)
        if not isinstance(tree, Fields):
            self._place(
                root, base, Finding((), f"must be a mapping, found {found(tree)}", "begin with `- name: …`"), {}
            )
            return
        self._note_name(tree, base)
        spelled = spell(tree, self._known)
        provider = provider_of(spelled.common)
        described = self._known.of(provider)
        options, findings = read_options(spelled.options, described.options)
        body, refused = self._validated(spelled.common, described)
        findings = [*spelled.findings, *findings, *refused, *broken_rules(spelled.common, spelled.options, described)]
        for finding in findings:
            self._place(root, base, finding, spelled.spelling)
        for finding in bad_references(tree, variables=self._variables):
            self._place(root, base, finding, {})
        damaged = any(where[: len(base)] == base for where in broken)
        if body is not None and len(self.problems) == before and not damaged:
            values = {name: getattr(body, name) for name in Body.model_fields} | {"provider": provider}
            self.workflows.append(
                Workflow.model_construct(**values, file=self.path, line=tree.mark.line, options=options)
            )

    def _validated(self, common: Fields, described: Description) -> tuple[Body | None, list[Finding]]:
        try:
            return Body.model_validate(common, context={"known": self._known}), []
        except ValidationError as error:
            return None, list(sentences.findings(error, described.spellings))

    def _note_name(self, tree: Fields, base: Path) -> None:
        name = tree.get("name")
        if isinstance(name, Scalar) and is_name(name):
            self.names.append(_Name(str(name), self.path, name.mark, written((*base, "name"))))

    def _place(self, root: Fields, base: Path, finding: Finding, spelling: dict[str, str]) -> None:
        at = tuple(spelling.get(str(part), part) if index == 0 else part for index, part in enumerate(finding.at))
        path, mark = _locate(root, (*base, *at), on_key=finding.on_key)
        label = f"`{written(path[len(base) :])}`" if len(path) > len(base) else "the workflow"
        colon = ":" if finding.text.startswith("`") else ""
        self._add(mark, written(path), f"{label}{colon} {finding.text}", finding.hint)

    def _add(self, mark: Mark, where: str, text: str, hint: str | None) -> None:
        texts = printable(where, LONGEST_WHERE), printable(text, LONGEST_TEXT), hint and printable(hint, LONGEST_TEXT)
        self.problems.append(Problem(self.path, mark.line, mark.column, *texts))


def _locate(root: Fields, path: Path, *, on_key: bool) -> tuple[Path, Mark]:
    """The part of `path` that is in the tree (a lone value has no index), and the place it stands at."""
    node: Tree = root
    mark, real = root.mark, ()  # type: tuple[Mark, Path]
    for part in path:
        if isinstance(node, Fields) and isinstance(part, str) and part in node:
            key_mark, node = node.key_marks[part], node[part]
            blockish = not isinstance(node, Scalar) and not node.flow
            mark = key_mark if blockish or (on_key and len(real) + 1 == len(path)) else node.mark
            real = (*real, part)
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node):
            node = node[part]
            mark, real = node.mark, (*real, part)
    return real, mark


def _repeated(names: list[_Name]) -> dict[str, list[_Name]]:
    by_name: dict[str, list[_Name]] = {}
    for each in names:
        by_name.setdefault(each.name, []).append(each)
    return {name: same for name, same in by_name.items() if len(same) > 1}


def _repeat(same: list[_Name]) -> Problem:
    last = same[-1]
    places = " and ".join(f"{each.file}:{each.mark.line}" for each in same)
    text = f"{len(same)} workflows have the name `{last.name}`: {places}"
    return Problem(last.file, last.mark.line, last.mark.column, last.where, text, "give each its own name")


def _has_variables(path: str) -> bool:
    """`.dstack/variables.yaml` and its older names; in `.dstack/workflows` any name is a file of workflows."""
    given = PurePosixPath(path)
    return given.stem in _VARIABLES and given.parent.name != "workflows"
