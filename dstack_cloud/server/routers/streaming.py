"""The bodies of uploads."""

from __future__ import annotations

from collections.abc import Iterator

import anyio.from_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from dstack_cloud import errors


def body_chunks(request: Request) -> Iterator[bytes]:
    """The request's body for the thread that writes it: each chunk is fetched from the event loop when it is wanted."""
    stream = request.stream()

    async def following() -> bytes | None:
        return await anext(stream, None)

    try:
        while (chunk := anyio.from_thread.run(following)) is not None:
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise errors.UsageError("the upload broke off", "run the command again") from error
