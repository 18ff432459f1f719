"""One file of `.dstack`: its tree, and what is wrong with it and where."""

from __future__ import annotations

from dstack_cloud.domain.parsing.problems import Finding, Path, Problem, printable, written
from dstack_cloud.domain.parsing.source import Fields, Items, Mark, Scalar, Tree, read
from dstack_cloud.domain.parsing.values import found

LONGEST_WHERE = 200
LONGEST_TEXT = 600


class File:
    """`unreadable`: it can't be said what stands in it. `example` is how such a file begins, for hints."""

    example = ""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.unreadable = False

    def read_tree(self, text: str, main: str) -> tuple[Fields | None, set[Path]]:
        """The root with its key `main`, and the paths (of two parts at most) below which the YAML is wrong."""
        root, faults = read(text)
        for fault in faults:
            place = f"`{written(fault.where)}`: " if fault.where and fault.text.startswith(("a ", "the ")) else ""
            self.add(fault.mark, written(fault.where), f"{place}{fault.text}", fault.hint)
        self.unreadable = root is None and bool(faults)
        if isinstance(root, Fields):
            return root, {fault.where[:2] for fault in faults}
        if root is None or (isinstance(root, Scalar) and root.kind == "null"):
            if not faults:
                self.add(Mark(1, 1), "", "the file is empty", self.example)
        else:
            hint = f"write `{main}:` above the list" if isinstance(root, Items) else self.example
            self.add(root.mark, "", f"the file must be a mapping, found {found(root)}", hint)
        return None, set()

    def place(self, root: Fields, base: Path, finding: Finding, noun: str, *, warns: bool = False) -> None:
        """`noun` is what the text is about where nothing inside of `base` can be named."""
        path, mark = locate(root, (*base, *finding.at), on_key=finding.on_key)
        label = f"`{written(path[len(base) :])}`" if len(path) > len(base) else noun
        colon = ":" if finding.text.startswith("`") else ""
        self.add(mark, written(path), f"{label}{colon} {finding.text}", finding.hint, warns=warns)

    def add(self, mark: Mark, where: str, text: str, hint: str | None, *, warns: bool = False) -> None:
        texts = printable(where, LONGEST_WHERE), printable(text, LONGEST_TEXT), hint and printable(hint, LONGEST_TEXT)
        (self.warnings if warns else self.problems).append(Problem(self.path, mark.line, mark.column, *texts))


def locate(root: Fields, path: Path, *, on_key: bool) -> tuple[Path, Mark]:
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
