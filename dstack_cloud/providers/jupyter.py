from __future__ import annotations

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path
from dstack_cloud.providers.shell import LISTEN, PYTHON, installed, line, python_first

# Jupyter Server reads its token from there: https://jupyter-server.readthedocs.io/en/latest/operators/security.html
TOKEN = "JUPYTER_TOKEN"  # noqa: S105 - the variable's name


class Lab(Provider):
    """JupyterLab in the browser."""

    name = "lab"
    example = "requirements: requirements.txt"
    port = 8888
    synonyms = PYTHON_SYNONYMS

    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        return _program("jupyterlab", self.requirements, given, "/lab")


class Notebook(Provider):
    """Jupyter Notebook in the browser."""

    name = "notebook"
    example = 'ports: "8888:9999"'
    port = 8888
    synonyms = PYTHON_SYNONYMS

    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        return _program("notebook", self.requirements, given, "/tree")


def _program(module: str, requirements: str | None, given: Given, page: str) -> Program:
    commands = (*python_first(given.port), _serve(module, given))
    packages = installed(requirements, [module])
    return Program(commands, given.image, installs=True, setup=packages, page=page, token=TOKEN)


def _serve(module: str, given: Given) -> str:
    """Without retries: the port that is told is this one or none."""
    options = f"--no-browser --allow-root --ip={LISTEN} --port={given.port} --ServerApp.port_retries=0"
    return line(f"exec {PYTHON} -m {module}", options)
