"""From the texts of `.dstack` to workflows, variables and problems. Nothing is read from disk here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from pydantic import ValidationError

from dstack_cloud.domain.interpolation import interpolate
from dstack_cloud.domain.parsing import sentences
from dstack_cloud.domain.parsing.deferred import misread, raw, set_aside
from dstack_cloud.domain.parsing.dialect import read_options, spell
from dstack_cloud.domain.parsing.files import File
from dstack_cloud.domain.parsing.known import BUILT_IN, Known
from dstack_cloud.domain.parsing.model import Body, Workflow
from dstack_cloud.domain.parsing.problems import Finding, Path, Problem, nearest, written
from dstack_cloud.domain.parsing.rules import bad_references, broken_rules, provider_of
from dstack_cloud.domain.parsing.source import Fields, Items, Mark, Scalar, Tree
from dstack_cloud.domain.parsing.values import found, is_name
from dstack_cloud.domain.parsing.variables import VariablesFile, defines_variables, gather
from dstack_cloud.domain.variables import Variables
from dstack_cloud.providers.description import Description


@dataclass(frozen=True)
class Checked:
    """`workflows` are those without any problem, in the files' order; `problems` and `warnings` are all of all files."""

    workflows: list[Workflow]
    problems: list[Problem]
    warnings: list[Problem] = field(default_factory=list)
    variables: Variables = field(default_factory=Variables)


def check(files: Sequence[tuple[str, str]], known: Known = BUILT_IN) -> Checked:
    """Reads (path, text) of every file of `.dstack`. Never raises."""
    of_variables, of_workflows = [], []
    for path, text in files:
        if defines_variables(path):
            of_variables.append(_read_variables(path, text))
        else:
            of_workflows.append(_read_workflows(path, text, known))
    names = [name for file in of_workflows for name in file.names]
    complete = not any(file.unreadable for file in of_workflows)
    variables, between = gather(of_variables, {each.name: None for each in names} if complete else None)
    for file in of_workflows:
        file.check_references(None if any(each.problems for each in of_variables) else variables)
    both: list[File] = [*of_variables, *of_workflows]
    repeated = _repeated(names)
    problems = {problem for file in both for problem in file.problems} | set(between)
    problems.update(_repeat(same) for same in repeated.values())
    workflows = [workflow for file in of_workflows for workflow in file.workflows if workflow.name not in repeated]
    warnings = {warning for file in both for warning in file.warnings}
    return Checked(workflows, _sorted(problems), _sorted(warnings), variables)


def _sorted(problems: Collection[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda each: (each.file, each.line, each.column, each.text))


def _read_variables(path: str, text: str) -> VariablesFile:
    file = VariablesFile(path)
    file.read(text)
    return file


def _read_workflows(path: str, text: str, known: Known) -> _WorkflowsFile:
    file = _WorkflowsFile(path, known)
    file.read(text)
    return file


@dataclass(frozen=True)
class _Name:
    """A workflow's name and where it stands, whether or not the rest of the workflow is right."""

    name: str
    file: str
    mark: Mark
    where: str


class _WorkflowsFile(File):
    example = "begin with `workflows:` and a list of workflows below it"

    def __init__(self, path: str, known: Known) -> None:
        super().__init__(path)
        self._known = known
        self.workflows: list[Workflow] = []
        self.names: list[_Name] = []
        self._trees: list[tuple[Fields, Fields, Path]] = []

    def read(self, text: str) -> None:
        root, broken = self.read_tree(text, "workflows")
        if root is not None:
            self._read_root(root, broken)

    def check_references(self, variables: Variables | None) -> None:
        """Of every `${{ }}`, and takes away the workflows that have a wrong one. None: what variables there are isn't known."""
        deferred = {each.name: each for each in self.workflows if each.deferred}
        for root, tree, base in self._trees:
            before = len(self.problems)
            name = tree.get("name")
            seen = None if variables is None or not isinstance(name, Scalar) else variables.seen_by(name)
            for finding in bad_references(tree, variables=seen):
                self.place(root, base, finding, "the workflow")
            waiting = deferred.get(name) if isinstance(name, Scalar) else None
            if waiting is not None and variables is not None and len(self.problems) == before:
                self._check_values(root, base, variables, waiting)
            if len(self.problems) > before:
                self.workflows = [each for each in self.workflows if each.name != name]

    def _check_values(self, root: Fields, base: Path, variables: Variables, workflow: Workflow) -> None:
        """Of what can be read with the variables' defaults only."""
        named = variables.values(workflow.name, run_name="").named
        if finding := misread(workflow, partial(interpolate, values=named)):
            self.place(root, base, finding, "the workflow")

    def _read_root(self, root: Fields, broken: set[Path]) -> None:
        for key in root:
            if key != "workflows" and not key.startswith("x-"):
                near = "did you mean `workflows`?" if nearest(key, ["workflows"]) else "a file has `workflows:` only"
                hint = "put it into the list below `workflows:`" if key in Body.model_fields else near
                hint = "variables stand in .dstack/variables.yaml" if key in ("variables", "configs") else hint
                self.add(root.key_marks[key], key, f"`{key}` is an unknown field", hint)
        listed = root.get("workflows")
        if listed is None:
            if all(key.startswith("x-") for key in root):
                self.add(root.mark, "", "the file has no `workflows`", self.example)
        elif isinstance(listed, Fields) and _by_name(listed):
            text = "`workflows` must be a list of workflows, found a mapping from names to workflows"
            name = next(iter(listed))
            self.add(listed.key_marks[name], "workflows", text, f"write `- name: {name}`, and its fields below `name`")
        elif isinstance(listed, Fields):
            self._read_workflow(root, listed, ("workflows",), broken)
        elif isinstance(listed, Items):
            for index, item in enumerate(listed):
                self._read_workflow(root, item, ("workflows", index), broken)
        else:
            mark = root.key_marks["workflows"]
            text = f"`workflows` must be a list of workflows, found {found(listed)}"
            self.add(mark, "workflows", text, self.example)

    def _read_workflow(self, root: Fields, tree: Tree, base: Path, broken: set[Path]) -> None:
        before = len(self.problems)
        if not isinstance(tree, Fields):
            finding = Finding((), f"must be a mapping, found {found(tree)}", "begin with `- name: …`")
            self.place(root, base, finding, "the workflow")
            return
        self._note_name(tree, base)
        self._trees.append((root, tree, base))
        spelled = spell(tree, self._known)
        provider = provider_of(spelled.common)
        described = self._known.of(provider)
        options, findings = read_options(spelled.options, described.options)
        common, aside = set_aside(spelled.common)
        body, refused = self._validated(common, described)
        if provider in self._known.failures:  # any of them may be its own
            refused = [each for each in refused if each.text != sentences.UNKNOWN]
        findings = [*findings, *refused, *broken_rules(spelled.common, spelled.options, described)]
        for finding in (*spelled.findings, *(_respelled(each, spelled.spelling) for each in findings)):
            self.place(root, base, finding, "the workflow")
        damaged = any(where[: len(base)] == base for where in broken)
        if body is not None and len(self.problems) == before and not damaged:
            values = {**body.__dict__, "provider": provider}
            lines = spelled.lines | {place: given.mark.line for place, given in aside.items()}
            values |= {"file": self.path, "line": tree.mark.line, "lines": lines, "options": options}
            values["deferred"] = {place: raw(given) for place, given in aside.items()}
            self.workflows.append(Workflow.model_construct(**values))

    def _validated(self, common: Fields, described: Description) -> tuple[Body | None, list[Finding]]:
        try:
            return Body.model_validate(common, context={"known": self._known}), []
        except ValidationError as error:
            return None, list(sentences.findings(error, described.spellings))

    def _note_name(self, tree: Fields, base: Path) -> None:
        name = tree.get("name")
        if isinstance(name, Scalar) and is_name(name):
            self.names.append(_Name(str(name), self.path, name.mark, written((*base, "name"))))


def _by_name(fields: Fields) -> bool:
    """Whether a mapping is no workflow, but has one under each name."""
    workflows = (isinstance(value, Fields) and name not in Body.model_fields for name, value in fields.items())
    return bool(fields) and all(workflows)


def _respelled(finding: Finding, spelling: dict[str, str]) -> Finding:
    """With the field's name as the file has it. What `spell` found has it already."""
    first = finding.at[:1]
    return Finding(
        (*(spelling.get(str(part), part) for part in first), *finding.at[1:]),
        finding.text,
        finding.hint,
        finding.on_key,
    )


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
