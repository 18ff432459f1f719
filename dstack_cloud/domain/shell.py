"""Values in a text that a shell reads: written so that each arrives there whole, whatever is in it.

How to write one depends on the place: bare, between quotes, in a here-document, a comment, between backquotes.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from dstack_cloud.domain.interpolation import Writer
from dstack_cloud.domain.variables import Value


class Kind(Enum):
    """`PARAMETER` is `${…}`, quoted where it lies between double quotes; `VERBATIM` a here-document that expands nothing."""

    CODE = "code"
    GROUP = "("
    ARITHMETIC = "(("
    BACKQUOTE = "`"
    PARAMETER = "${"
    QUOTED_PARAMETER = '"${'
    DOUBLE = '"'
    SINGLE = "'"
    ANSI = "$'"
    COMMENT = "#"
    HEREDOC = "<<"
    VERBATIM = "<<'"


_BARE = (Kind.CODE, Kind.GROUP, Kind.ARITHMETIC, Kind.BACKQUOTE, Kind.PARAMETER)
_COMMENTED = (Kind.CODE, Kind.GROUP, Kind.BACKQUOTE)
_EXPANDING = (*_BARE, Kind.DOUBLE, Kind.QUOTED_PARAMETER, Kind.HEREDOC)
# characters that mean something there, besides the backslash
_SPECIAL = {Kind.DOUBLE: '"$`', Kind.QUOTED_PARAMETER: '"$`', Kind.HEREDOC: "$`", Kind.ANSI: "'"}
_CLOSERS = {
    Kind.GROUP: ")",
    Kind.ARITHMETIC: "))",
    Kind.PARAMETER: "}",
    Kind.QUOTED_PARAMETER: "}",
    Kind.DOUBLE: '"',
    Kind.SINGLE: "'",
    Kind.ANSI: "'",
}
# what means nothing special anywhere
_PLAIN = re.compile(r"[A-Za-z0-9_ ./=:,@%+-]+")
_REFERENCE = re.compile(r"\$\{\{[^{}\n]*\}\}")
_DELIMITER = re.compile(r"<<(?P<dash>-?)[ \t]*(?P<word>(?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^\s;&|<>()'\"\\`])+)")


@dataclass(frozen=True)
class Place:
    """What surrounds it directly, and how many backquotes further out."""

    kind: Kind
    backquotes: int

    def written(self, value: Value) -> str:
        text = self._quoted(value)
        for _ in range(self.backquotes):
            text = re.sub(r"[\\`$]", r"\\\g<0>", text)
        return text

    def _quoted(self, value: Value) -> str:
        if self.kind in _BARE:
            return shlex.quote(value) if isinstance(value, str) else shlex.join(value)
        text = value if isinstance(value, str) else shlex.join(value)
        if self.kind is Kind.SINGLE:
            return text.replace("'", "'\\''")
        if self.kind is Kind.COMMENT:
            return text.replace("\n", " ")
        special = _SPECIAL.get(self.kind)
        escaped = text if special is None else re.sub(rf"[\\{re.escape(special)}]", r"\\\g<0>", text)
        # a single quote, or the closing brace, would mean something there
        return f'"{escaped}"' if self.kind is Kind.QUOTED_PARAMETER else escaped


def writer(text: str) -> Writer:
    """For `interpolate`. A `$name` behind a backslash is left to the shell."""

    def write(value: Value, offset: int) -> str | None:
        place = _scanned(text).places.get(offset)
        return None if place is None else place.written(value)

    return write


@lru_cache(maxsize=2048)
def _scanned(text: str) -> _Scan:
    """One command is checked, and filled in several times, while a run is planned."""
    return _Scan(text)


def sets_itself(text: str, name: str) -> bool:
    """Whether a text that a shell reads gives its own variable `name` a value and reads it as `$name`, as in
    `for x in a b; do echo $x; done`."""
    here = re.escape(name)
    binds = rf"\bfor\s+{here}\s+in\b|(?:^|[\s;&|(]){here}=|\b(?:read|local|export|declare)\b[^;&|\n]*\s{here}\b"
    return re.search(rf"\${here}\b", text) is not None and re.search(binds, text) is not None


def is_unfinished(text: str) -> bool:
    """Whether it ends within quotes or a here-document, or with a line that goes on."""
    scan = _scanned(text)
    trailing = len(text) - len(text.rstrip("\\"))
    return scan.unfinished or (trailing % 2 == 1 and scan.ends_bare)


class _Scan:
    """Reads a text as bash does, as far as quoting goes. `places`: those of each `$` that isn't behind a backslash."""

    def __init__(self, text: str) -> None:
        self.places: dict[int, Place] = {}
        self._text = text
        self._at = 0
        self._open = [Kind.CODE]
        self._awaited: list[tuple[str, str, bool]] = []
        self._heredoc_end = self._after_heredoc = len(text) + 1
        self._heredoc_depth = 0
        while self._at < len(text):
            if plain := _PLAIN.match(text, self._at, self._heredoc_end):
                self._at = plain.end()
            else:
                self._step()

    @property
    def unfinished(self) -> bool:
        """Whether a quote or a here-document is open at the end of the text."""
        within = (Kind.DOUBLE, Kind.SINGLE, Kind.ANSI)
        endless = self._kind in (Kind.HEREDOC, Kind.VERBATIM) and self._heredoc_end > len(self._text)
        return endless or bool(self._awaited) or any(kind in within for kind in self._open)

    @property
    def ends_bare(self) -> bool:
        return self._kind in _BARE

    @property
    def _kind(self) -> Kind:
        return self._open[-1]

    def _next(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _enter(self, kind: Kind, width: int) -> None:
        self._open.append(kind)
        self._at += width

    def _leave(self, width: int) -> None:
        self._open.pop()
        self._at += width

    def _step(self) -> None:
        if self._at >= self._heredoc_end:
            self._end_heredoc()
            return
        kind, char = self._kind, self._text[self._at]
        closer = _CLOSERS.get(kind)
        if closer is not None and self._next(closer):
            self._leave(len(closer))
        elif char == "\\" and kind not in (Kind.SINGLE, Kind.COMMENT, Kind.VERBATIM):
            self._at += 2
        elif char == "\n" and kind is Kind.COMMENT:
            self._leave(0)
        elif char == "`" and kind in (*_EXPANDING, Kind.COMMENT):
            self._backquote()
        elif char == "$":
            self._dollar()
        elif char == '"' and kind is Kind.QUOTED_PARAMETER:
            self._enter(Kind.DOUBLE, 1)
        elif kind in _BARE:
            self._bare(char)
        else:
            self._at += 1

    def _backquote(self) -> None:
        if Kind.BACKQUOTE not in self._open:
            self._at += 1
            if self._kind is not Kind.COMMENT:
                self._open.append(Kind.BACKQUOTE)
            return
        while self._open.pop() is not Kind.BACKQUOTE:
            pass
        self._at += 1

    def _dollar(self) -> None:
        kind = self._kind
        reference = _REFERENCE.match(self._text, self._at)
        if reference or kind not in _EXPANDING:
            self._note(len(reference[0]) if reference else 1)
        elif self._next("$(("):
            self._enter(Kind.ARITHMETIC, 3)
        elif self._next("$("):
            self._enter(Kind.GROUP, 2)
        elif self._next("${"):
            self._enter(Kind.PARAMETER if kind in _BARE else Kind.QUOTED_PARAMETER, 2)
        elif self._next("$'") and kind in _BARE:
            self._enter(Kind.ANSI, 2)
        else:
            self._note(1)

    def _note(self, width: int) -> None:
        self.places[self._at] = Place(self._kind, self._open.count(Kind.BACKQUOTE))
        self._at += width

    def _bare(self, char: str) -> None:
        if char in "\"'":
            self._enter(Kind.DOUBLE if char == '"' else Kind.SINGLE, 1)
        elif self._next("((") and self._kind in _COMMENTED:
            self._enter(Kind.ARITHMETIC, 2)
        elif char == "(":
            self._enter(Kind.GROUP, 1)
        elif char == "#" and self._kind in _COMMENTED and self._begins_word():
            self._enter(Kind.COMMENT, 1)
        elif self._next("<<<"):
            self._at += 3
        elif self._next("<<") and Kind.ARITHMETIC not in self._open:
            self._await_heredoc()
        elif char == "\n" and self._awaited:
            self._begin_heredoc()
        else:
            self._at += 1

    def _begins_word(self) -> bool:
        return self._at == 0 or self._text[self._at - 1] in " \t\n;&|()`"

    def _await_heredoc(self) -> None:
        match = _DELIMITER.match(self._text, self._at)
        if match is None:
            self._at += 2
            return
        word = match["word"]
        expands = not re.search(r"['\"\\]", word)
        self._awaited.append((re.sub(r"\\(.)|['\"]", r"\1", word), match["dash"], expands))
        self._at = match.end()

    def _begin_heredoc(self) -> None:
        """The text up to the line that is the delimiter."""
        delimiter, dash, expands = self._awaited.pop(0)
        tabs = "\t*" if dash else ""
        end = re.compile(rf"^{tabs}{re.escape(delimiter)}$", re.MULTILINE).search(self._text, self._at + 1)
        self._heredoc_end = end.start() if end else len(self._text) + 1
        self._heredoc_depth = len(self._open)
        self._after_heredoc = end.end() if end else len(self._text)
        self._enter(Kind.HEREDOC if expands else Kind.VERBATIM, 1)

    def _end_heredoc(self) -> None:
        del self._open[self._heredoc_depth :]
        self._at, self._heredoc_end = self._after_heredoc, len(self._text) + 1
