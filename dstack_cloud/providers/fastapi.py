from __future__ import annotations

import re

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path, text, words
from dstack_cloud.providers.shell import LISTEN, PYTHON, installed, line, python_first

_APP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class FastApi(Provider):
    """A FastAPI application (or any other of ASGI), served by Uvicorn; with `dstack run --reload` it begins anew when a file changes."""

    name = "fastapi"
    example = "app: main:app\nrequirements: requirements.txt"
    port = 8000
    synonyms = PYTHON_SYNONYMS

    app: str = text("The application, as `module:name`.")
    args: tuple[str, ...] = words("More options for Uvicorn: a list, or one string.", default=())
    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        if not _APP.fullmatch(self.app):
            raise ValueError(f"`app` must be module:name, such as `main:app`; it is `{self.app}`")
        options = f"--host {LISTEN} --port {given.port}"
        watch = ["--reload"] if given.reload else []
        serve = line(f"exec {PYTHON} -m uvicorn", options, *watch, rest=(*self.args, self.app))
        packages = installed(self.requirements, ["fastapi", "uvicorn"])
        return Program((*python_first(given.port), serve), given.image, installs=True, setup=packages)
