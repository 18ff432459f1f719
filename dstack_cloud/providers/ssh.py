from __future__ import annotations

from dstack_cloud.providers.base import IMAGE_FIELDS, Given, Program, Provider

# `sleep infinity` isn't everywhere
_IDLE = "while sleep 3600; do :; done"


class Ssh(Provider):
    """A machine to log in to: the job waits, with your files, until it is stopped."""

    name = "ssh"
    example = "max_duration: 8h"
    takes = ("nodes", *IMAGE_FIELDS)

    def program(self, given: Given) -> Program:
        told = 'echo "ready: \\`dstack ssh $DSTACK_RUN_NAME\\` opens a shell here, \\`dstack stop $DSTACK_RUN_NAME\\` ends it"'
        return Program((told, _IDLE), given.image)
