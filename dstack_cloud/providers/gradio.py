from __future__ import annotations

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path, words
from dstack_cloud.providers.shell import LISTEN, PYTHON, installed, line, python_first


class Gradio(Provider):
    """A Gradio app in the browser. Its script calls `launch()` without an address or a port of its own."""

    name = "gradio"
    example = "file: app.py"
    port = 7860
    synonyms = PYTHON_SYNONYMS

    file: str = path("The app's script, relative to `working_dir`.", also=("script",), must_exist=True)
    args: tuple[str, ...] = words("Arguments of the app: a list, or one string.", default=())
    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        place = f"GRADIO_SERVER_NAME={LISTEN} GRADIO_SERVER_PORT={given.port} GRADIO_ANALYTICS_ENABLED=False"
        serve = line(place, PYTHON, rest=(self.file, *self.args))
        packages = installed(self.requirements, ["gradio"])
        return Program((*python_first(given.port), serve), given.image, installs=True, setup=packages)
