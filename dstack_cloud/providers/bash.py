from __future__ import annotations

from dstack_cloud.providers.base import AsWritten


class Bash(AsWritten):
    """Commands in one bash: in the default image, in an image of yours, or on the machine itself."""

    name = "bash"
    example = "commands:\n  - make\n  - ./train ${{ run.args }}"
    needs = ("commands",)
