"""What every JSON body must be."""

from __future__ import annotations

import json

from fastapi import Request

from dstack_cloud import errors


async def check_text(request: Request) -> None:
    """JSON can spell half of a character, which no file, argument or database can hold. Raises UsageError."""
    if getattr(request.scope["route"], "body_field", None) is None:
        # a body that isn't JSON may be endless
        return
    body = await request.body()
    if b"\\ud" not in body.lower():
        return
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = str(error.object)[error.start]
        raise errors.UsageError(
            f"the request has half of a character, \\u{ord(half):04x}, that UTF-8 can't write",
            "use text in UTF-8 for names, arguments, variables and files",
        ) from error
