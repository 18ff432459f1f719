"""The providers by name, and the fields that belong to some of them only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROVIDERS = (
    "bash",
    "docker",
    "python",
    "torchrun",
    "lab",
    "notebook",
    "code",
    "streamlit",
    "gradio",
    "fastapi",
    "tensorboard",
    "curl",
    "ray",
    "ssh",
)

_SCRIPTS = ("python", "torchrun", "streamlit", "gradio", "ray")
_PYTHON = (*_SCRIPTS, "lab", "notebook", "code", "fastapi", "tensorboard")


@dataclass(frozen=True)
class Option:
    """`kind`: a `path` inside the working folder, a `text`, or `texts` (a list, or one string for the shell to split).

    `becomes`: the field this is an older spelling of.
    """

    providers: tuple[str, ...]
    kind: Literal["path", "text", "texts"]
    description: str
    becomes: str | None = None


OPTIONS = {
    "file": Option(_SCRIPTS, "path", "The script to run."),
    "script": Option(_SCRIPTS, "path", "Another spelling of `file`.", becomes="file"),
    "args": Option((*_SCRIPTS, "fastapi", "tensorboard"), "texts", "Arguments of the program: a list, or one string."),
    "requirements": Option(_PYTHON, "path", "The requirements file to install first."),
    "version": Option(_PYTHON, "text", "Another spelling of `python`.", becomes="python"),
    "app": Option(("fastapi",), "text", "The application, as `module:name`."),
    "logdir": Option(("tensorboard",), "path", "The folder with the event files."),
    "url": Option(("curl",), "text", "What to download."),
    "output": Option(("curl",), "path", "Where to put it."),
}

# in every workflow; the right-hand spelling is the one that Workflow has
SYNONYMS = {"depends-on": "deps", "environment": "env"}
