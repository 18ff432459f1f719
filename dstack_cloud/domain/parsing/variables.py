"""`.dstack/variables.yaml` and its older names: variables with their defaults, global ones and those of each workflow."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dstack_cloud.domain.parsing.files import File
from dstack_cloud.domain.parsing.problems import Finding, Problem, nearest, shown, written
from dstack_cloud.domain.parsing.source import Fields, Mark, Scalar, Tree
from dstack_cloud.domain.parsing.values import LONGEST_NAME, found
from dstack_cloud.domain.variables import GLOBAL, SYSTEM_NAMES, Variables, environment_name, form, is_kept

ROOTS = ("variables", "configs")
# the fields of a variable that is written as a mapping
FIELDS = ("default", "help")
_STEMS = {"variables", "configs", "config"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class _Definition:
    """A variable of the section, and where it stands."""

    section: str
    name: str
    value: str
    help: str
    file: str
    mark: Mark
    where: str


def defines_variables(path: str) -> bool:
    """In `.dstack/workflows` any name is a file of workflows."""
    given = PurePosixPath(path)
    return given.stem in _STEMS and given.parent.name != "workflows"


class VariablesFile(File):
    example = "begin with `variables:`, and below it `global:` or a workflow's name"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.definitions: list[_Definition] = []
        self.sections: list[tuple[str, Mark, str]] = []

    def read(self, text: str) -> None:
        root, _ = self.read_tree(text, ROOTS[0])
        if root is None:
            return
        for key in root:
            if key not in ROOTS and not key.startswith("x-"):
                self._unknown_root(key, root)
        given = [key for key in ROOTS if key in root]
        if not given and all(key.startswith("x-") for key in root):
            self.add(root.mark, "", "the file has no `variables`", self.example)
        if len(given) > 1:
            text = "says the same as `variables`, which is there too"
            self.place(root, (), Finding((given[1],), text, "keep one of them", on_key=True), "the file")
        for key in given[:1]:
            self._read_sections(root, key)

    def _unknown_root(self, key: str, root: Fields) -> None:
        near = nearest(key, ROOTS)
        hint = f"did you mean `{near}`?" if near else "a file of variables has `variables:` only"
        if key == "workflows":
            hint = "workflows stand in .dstack/workflows.yaml, or a file in .dstack/workflows"
        self.place(root, (), Finding((key,), "is an unknown field", hint, on_key=True), "the file")

    def _read_sections(self, root: Fields, main: str) -> None:
        sections = root[main]
        if _is_null(sections):
            return
        if not isinstance(sections, Fields):
            text = f"must be a mapping from `global` and workflows' names to variables, found {found(sections)}"
            self.place(root, (), Finding((main,), text, self.example), "the file")
            return
        for section, variables in sections.items():
            self.sections.append((section, sections.key_marks[section], written((main, section))))
            if isinstance(variables, Fields):
                self._read_section(root, main, section)
            elif not _is_null(variables):
                text = f"must be a mapping from variables' names to values, found {found(variables)}"
                hint = "a variable of all workflows stands below `global:`" if isinstance(variables, Scalar) else None
                self.place(root, (), Finding((main, section), text, hint), "the file")

    def _read_section(self, root: Fields, main: str, section: str) -> None:
        variables: Fields = root[main][section]
        for finding in _findings(variables):
            self.place(root, (), Finding((main, section, *finding.at), *_rest(finding)), "the file")
        for name, value in variables.items():
            where = written((main, section, name))
            if form(name) in SYSTEM_NAMES:
                text = f"`{where}` has the name of a variable that dstack sets itself: that value is used"
                self.add(variables.key_marks[name], where, text, "rename it, or remove it", warns=True)
            elif is_kept(environment_name(name)):
                text = f"`{where}` isn't put into the job's environment, where {environment_name(name)} means something else"
                self.add(variables.key_marks[name], where, text, "rename it", warns=True)
            default, told = _parts(value)
            if isinstance(default, Scalar) and default.kind != "null":
                mark = variables.key_marks[name]
                self.definitions.append(_Definition(section, name, str(default), told, self.path, mark, where))


def _rest(finding: Finding) -> tuple[str, str | None, bool]:
    return finding.text, finding.hint, finding.on_key


def _findings(variables: Fields) -> Iterator[Finding]:
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            better = re.sub(r"[^A-Za-z0-9_-]+", "_", name).lstrip("-0123456789")
            hint = f"call it `{better[:LONGEST_NAME]}`, say" if better.strip("_-") else "use letters and digits"
            text = (
                f"can't be the name of a variable: letters, digits, `_` and `-`, {LONGEST_NAME} at most, no digit first"
            )
            yield Finding((name,), text, hint, on_key=True)
        if isinstance(value, Fields):
            yield from _field_findings(name, value)
        elif not isinstance(value, Scalar):
            hint = "to say more of it, write `{default: 64, help: What it is}`"
            yield Finding((name,), f"must be a text, a number, true or false, found {found(value)}", hint)
        elif value.kind == "null":
            yield Finding((name,), "has no value", 'write `""` for an empty text', on_key=True)


def _field_findings(name: str, value: Fields) -> Iterator[Finding]:
    for key in value:
        if key not in FIELDS:
            near = nearest(key, FIELDS)
            hint = f"did you mean `{near}`?" if near else f"a variable that is a mapping has: {', '.join(FIELDS)}"
            yield Finding((name, key), "is an unknown field", hint, on_key=True)
    if "default" not in value or _is_null(value["default"]):
        yield Finding((name,), "has no `default`", 'write `default: ""` for an empty text', on_key=True)
    for key in FIELDS:
        if key in value and not isinstance(value[key], Scalar):
            yield Finding((name, key), f"must be a text, a number, true or false, found {found(value[key])}")


def _parts(value: Tree) -> tuple[Tree | None, str]:
    """(default, help) of a variable: `64`, or `{default: 64, help: Examples at once}`."""
    if not isinstance(value, Fields):
        return value, ""
    told = value.get("help")
    words = " ".join(told.split()) if isinstance(told, Scalar) and told.kind != "null" else ""
    return value.get("default"), words


def gather(files: Sequence[VariablesFile], workflows: Collection[str] | None) -> tuple[Variables, list[Problem]]:
    """What all files define together, and what is wrong between them. `workflows`: all that there are; None: that isn't known."""
    definitions = [each for file in files for each in file.definitions]
    problems = list(_repeated(definitions))
    if workflows is not None:
        for file in files:
            problems += _unknown_workflows(file, workflows)
    own: dict[str, dict[str, str]] = {}
    told: dict[str, dict[str, str]] = {}
    for each in definitions:
        own.setdefault(each.section, {}).setdefault(each.name, each.value)
        if each.help:
            told.setdefault(each.section, {}).setdefault(each.name, each.help)
    shared = own.pop(GLOBAL, {})
    return Variables(shared, own, told), problems


def _repeated(definitions: Iterable[_Definition]) -> Iterator[Problem]:
    """Names that are one in the environment can't be told apart."""
    first: dict[tuple[str, str], _Definition] = {}
    for each in definitions:
        other = first.setdefault((each.section, environment_name(each.name)), each)
        if other is not each:
            text = f"`{each.where}` is the same variable as `{other.where}` in {other.file}:{other.mark.line}"
            hint = "remove one of them" + (
                "" if each.name == other.name else "; `-`, `_` and capitals make no difference"
            )
            yield Problem(each.file, each.mark.line, each.mark.column, each.where, text, hint)


def _unknown_workflows(file: VariablesFile, workflows: Collection[str]) -> Iterator[Problem]:
    for section, mark, where in file.sections:
        if section != GLOBAL and section not in workflows:
            choices = [GLOBAL, *workflows]
            near = nearest(section, choices)
            known = f"there are: {', '.join(choices)}"
            hint = f"did you mean `{near}`? {known}" if near else known
            yield Problem(file.path, mark.line, mark.column, where, f"there is no workflow {shown(section)}", hint)


def _is_null(value: Tree) -> bool:
    return isinstance(value, Scalar) and value.kind == "null"
