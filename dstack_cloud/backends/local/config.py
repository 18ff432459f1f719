"""Settings of the local backend."""

from __future__ import annotations

from enum import Enum

from pydantic import Field

from dstack_cloud.domain.resources import Frozen


class Mode(str, Enum):
    AUTO = "auto"
    DOCKER = "docker"
    PROCESS = "process"


class LocalConfig(Frozen):
    mode: Mode = Field(
        Mode.AUTO,
        description="How jobs run: in Docker, or as processes; `auto`: in Docker where an engine answers and has the default image.",
    )
