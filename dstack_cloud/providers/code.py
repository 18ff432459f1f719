from __future__ import annotations

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Unavailable
from dstack_cloud.providers.options import path


class Code(Unavailable):
    """VS Code in the browser."""

    name = "code"
    synonyms = PYTHON_SYNONYMS

    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)
