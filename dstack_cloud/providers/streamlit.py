from __future__ import annotations

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path, words
from dstack_cloud.providers.shell import LISTEN, PYTHON, installed, line, python_first


class Streamlit(Provider):
    """A Streamlit app in the browser; with `dstack run --reload` it runs again when its script changes."""

    name = "streamlit"
    example = "file: app.py"
    port = 8501
    synonyms = PYTHON_SYNONYMS

    file: str = path("The app's script, relative to `working_dir`.", also=("script",), must_exist=True)
    args: tuple[str, ...] = words("Arguments of the app: a list, or one string.", default=())
    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        options = f"--server.headless=true --server.address={LISTEN} --server.port={given.port}"
        quiet = "--browser.gatherUsageStats=false"
        watch = ["--server.runOnSave=true"] if given.reload else []
        app = (self.file, "--", *self.args) if self.args else (self.file,)
        serve = line(f"exec {PYTHON} -m streamlit run", options, quiet, *watch, rest=app)
        packages = installed(self.requirements, ["streamlit"])
        return Program((*python_first(given.port), serve), given.image, installs=True, setup=packages)
