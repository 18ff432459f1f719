"""Where in the files stands what a sentence is about."""

from __future__ import annotations

import re

from dstack_cloud.domain.parsing import Workflow


def place_of(workflow: Workflow, about: str = "") -> str:
    """To stand behind a sentence: the line of the field of its provider, or else of any, that `about` names; else the workflow's."""
    if not workflow.file:
        return ""
    fields = sorted(workflow.lines, key=lambda name: name not in workflow.options)
    named = (name for name in fields if _names(about, name, bare=name in workflow.options))
    line = next((workflow.lines[name] for name in named), workflow.line)
    return f" ({workflow.file}:{line})"


def _names(text: str, field: str, *, bare: bool) -> bool:
    """An option may also stand without quotes: its class was written by someone else."""
    quote = "" if bare else "[`'\"]"
    return re.search(rf"(?<![\w-]){quote}{re.escape(field)}{quote}(?![\w-])", text) is not None
