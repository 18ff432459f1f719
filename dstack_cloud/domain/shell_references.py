"""`${{ secrets.NAME }}` in a shell's text becomes a reference to the variable NAME, quoted for the place that it stands in, so
that the value is one word and is never in a program's arguments.

The scanner knows quotes, `$( )`, backquotes, comments and here-documents. It needs no more: a text that it reads wrongly is one in
which a shell would see the reference between quotes that aren't there.
"""

from __future__ import annotations

import re

from dstack_cloud.domain.interpolation import TOKEN, named
from dstack_cloud.domain.secrets import name_in
from dstack_cloud.errors import ConfigurationError

# <<WORD, <<-WORD, <<'WORD', <<"WORD", <<\WORD
_HERE = re.compile(
    r"<<(?P<tabs>-?)[ \t]*(?:(?P<quote>['\"])(?P<quoted>[^'\"\n]+)(?P=quote)|(?P<bare>\\?[A-Za-z_][\w.-]*))"
)
_CODE = frozenset({"top", "paren", "backquote"})


def with_references(text: str) -> str:
    """Raises ConfigurationError where a shell fills nothing in: in a here-document whose end word is quoted."""
    if "secrets." not in text:
        return text
    place, parts, position = _Place(), [], 0
    for match in TOKEN.finditer(text):
        secret = None if match["escaped"] else name_in(named(match))
        if secret is not None:
            place.read(text[position : match.start()])
            parts += [text[position : match.start()], place.reference(secret)]
            position = match.end()
    return "".join([*parts, text[position:]])


class _Place:
    """Where in its syntax a shell is; `_modes` are the constructs that are open, the innermost last."""

    def __init__(self) -> None:
        self._modes = ["top"]
        self._waiting: list[tuple[str, str, bool]] = []
        self._end, self._strip = "", False
        self._word_begins = True
        self._line_begins = True

    def reference(self, name: str) -> str:
        mode = self._modes[-1]
        if mode == "literal":
            raise ConfigurationError(
                f"`${{{{ secrets.{name} }}}}` stands in a here-document whose end word is quoted, where a shell fills nothing in",
                f"write its end word without quotes, or read ${name} where the text is used",
            )
        self._word_begins = False
        if mode in ("single", "ansi"):
            opening = "'" if mode == "single" else "$'"
            return f'\'"${{{name}}}"{opening}'
        return f'"${{{name}}}"' if mode in _CODE else f"${{{name}}}"

    def read(self, text: str) -> None:
        at = 0
        while at < len(text):
            mode = self._modes[-1]
            if mode in ("here", "literal"):
                at += self._here(text, at)
            elif mode in _CODE:
                at += self._code(text, at)
            else:
                at += self._quoted(text, at, mode)

    def _code(self, text: str, at: int) -> int:
        """How many characters were read."""
        char, begins = text[at], self._word_begins
        self._word_begins = char in " \t\n;&|(`"
        if char == "\\":
            return 2
        if char == "#" and begins:
            self._modes.append("comment")
        elif char == "\n":
            self._open_here()
        elif opened := {"'": "single", '"': "double", "(": "paren"}.get(char):
            self._modes.append(opened)
        elif text.startswith("$'", at):
            self._modes.append("ansi")
            return 2
        elif char == "`":
            self._backquote()
        elif char == ")" and self._modes[-1] == "paren":
            self._modes.pop()
        elif text.startswith("<<<", at):
            return 3
        elif match := _HERE.match(text, at):
            word = match["quoted"] or match["bare"]
            literal = match["quoted"] is not None or word.startswith("\\")
            self._waiting.append((word.lstrip("\\"), "literal" if literal else "here", bool(match["tabs"])))
            return len(match[0])
        return 1

    def _quoted(self, text: str, at: int, mode: str) -> int:
        char = text[at]
        if mode == "comment":
            if char == "\n":
                self._modes.pop()
                self._word_begins = True
                self._open_here()
        elif char == "\\" and mode in ("double", "ansi"):
            return 2
        elif char == ('"' if mode == "double" else "'"):
            self._modes.pop()
        elif mode == "double":
            return self._expansion(text, at)
        return 1

    def _expansion(self, text: str, at: int) -> int:
        """`$(` and backquotes, which begin code within quotes."""
        if text.startswith("$(", at):
            self._modes.append("paren")
            return 2
        if text[at] == "`":
            self._backquote()
        return 1

    def _backquote(self) -> None:
        if self._modes[-1] == "backquote":
            self._modes.pop()
        else:
            self._modes.append("backquote")

    def _open_here(self) -> None:
        """The body of the first here-document that was announced begins behind this line."""
        if self._waiting:
            self._end, mode, self._strip = self._waiting.pop(0)
            self._modes.append(mode)
            self._line_begins = True

    def _here(self, text: str, at: int) -> int:
        if self._line_begins:
            line = text[at:].partition("\n")[0]
            if (line.lstrip("\t") if self._strip else line) == self._end:
                self._modes.pop()
                self._open_here()
                return len(line) + 1
        self._line_begins = text[at] == "\n"
        if self._modes[-1] == "literal":
            return 1
        return 2 if text[at] == "\\" else self._expansion(text, at)
