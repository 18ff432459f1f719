"""The providers by name. Whatever names, describes or checks providers and their options takes it from here."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_cloud.providers.base import Provider
from dstack_cloud.providers.bash import Bash
from dstack_cloud.providers.code import Code
from dstack_cloud.providers.curl import Curl
from dstack_cloud.providers.docker import Docker
from dstack_cloud.providers.fastapi import FastApi
from dstack_cloud.providers.gradio import Gradio
from dstack_cloud.providers.jupyter import Lab, Notebook
from dstack_cloud.providers.python import Python
from dstack_cloud.providers.ray import Ray
from dstack_cloud.providers.ssh import Ssh
from dstack_cloud.providers.streamlit import Streamlit
from dstack_cloud.providers.tensorboard import TensorBoard
from dstack_cloud.providers.torchrun import Torchrun

_ALL: tuple[type[Provider], ...] = (
    *(Bash, Docker, Python, Torchrun, Lab, Notebook, Code, Streamlit, Gradio, FastApi, TensorBoard),
    *(Curl, Ray, Ssh),
)
PROVIDERS: Mapping[str, type[Provider]] = {provider.name: provider for provider in _ALL}
