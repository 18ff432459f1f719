"""Settings of the local backend."""

from __future__ import annotations

from enum import Enum

from dstack_cloud.domain.resources import Frozen


class Mode(str, Enum):
    """`auto`: in Docker where an engine answers and has the default image, else as a process group."""

    AUTO = "auto"
    DOCKER = "docker"
    PROCESS = "process"


class LocalConfig(Frozen):
    mode: Mode = Mode.AUTO
