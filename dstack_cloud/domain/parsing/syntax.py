"""PyYAML's complaints as plain sentences."""

from __future__ import annotations

import re

_QUOTE = "put the text in quotes"
_CLOSE = "close it; between single quotes a quote is written `''`, between double ones `\\\"`"

# pattern of PyYAML's `problem`, sentence, hint
_SENTENCES: tuple[tuple[str, str, str | None], ...] = (
    (r"found character '\\t'.*", "a tab can't be used to indent", "use spaces"),
    (r"found character '(.+)' that cannot start any token", r"a value can't begin with `\1`", _QUOTE),
    (
        r"could not find expected ':'",
        "a `:` is missing after a key",
        "or the line isn't indented as the lines around it",
    ),
    (
        r"mapping values are not allowed here",
        "a `:` stands where no key can be",
        "check the indentation, or put a text that contains `: ` in quotes",
    ),
    (
        r"expected <block end>.*",
        "the indentation doesn't fit the lines above",
        "indent the items of one list or mapping alike",
    ),
    (
        r"expected ',' or '(.)'.*",
        r"a `,` or the closing `\1` is missing",
        "a text that holds `{{`, brackets or a comma needs quotes there",
    ),
    (r"found unexpected end of stream", "this quote is never closed", _CLOSE),
    (r"found unexpected document separator", "this quote is never closed before `---`", _CLOSE),
    (
        r"found unknown escape character '(.+)'",
        r"`\\\1` isn't an escape that double quotes know",
        "use single quotes, or write the backslash twice",
    ),
    (
        r"sequence entries are not allowed here",
        "a `-` stands where no list can begin",
        "put the list on its own lines, indented",
    ),
    (
        r"expected the node content, but found .*",
        "a value is missing here",
        _QUOTE + " if it begins with a special character",
    ),
    (r"did not find expected .*", "the text ends too early or isn't indented well", None),
)


def explain(problem: str, context: str) -> tuple[str, str | None]:
    """(sentence, hint) for `problem` as PyYAML words it."""
    words = " ".join(f"{problem} {context}".split())
    for pattern, sentence, hint in _SENTENCES:
        match = re.fullmatch(pattern, problem) or re.fullmatch(pattern, words)
        if match:
            return match.expand(sentence), hint
    return f"this isn't valid YAML: {words}", None
