r"""Keys as the stores take them. Any Unix file name must do, for artifacts are the user's; what a store can't take is escaped.

- control characters and bytes that aren't UTF-8 (as surrogates, see PEP 383): `%0A`, and a `%` that would then be
  misread (also one at the end of a name): `%25`. Ordinary names stay as they are, so that people can browse.
- a backslash: `%5C` (SeaweedFS and Azure take it for a slash);
- a name that ends in `#` and digits: the `#` as `%23` (the local store keeps half-written objects under such names);
- names over 240 bytes are cut in pieces, each but the last ending in `%` (a file system's limit is 255, and the local store adds a
  few to what it writes).
"""

from __future__ import annotations

import re

from dstack_cloud import errors

_LONGEST_NAME = 240
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\\udc80-\udcff]|%(?=[0-9A-F]{2})|%$|#(?=[0-9]+$)")
_PLAIN = re.compile(r"[A-Za-z0-9._/=+@~ -]*")


def to_path(key: str) -> str:
    """Raises StoreError for a key that is no relative path: empty parts, `.`, `..`, a slash at either end."""
    parts = key.split("/")
    if not all(parts) or "." in parts or ".." in parts:
        raise errors.StoreError(f"{key!r} is no key of an object", "a key is names with / between them")
    if _PLAIN.fullmatch(key) and all(len(part) <= _LONGEST_NAME for part in parts):
        return key
    return "/".join("%/".join(_pieces(_UNSAFE.sub(_escape, part))) for part in parts)


def to_key(path: str) -> str:
    if "%" not in path:
        return path
    joined = path.replace("%/", "").encode()
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), joined).decode(errors="surrogateescape")


def _escape(match: re.Match[str]) -> str:
    # a surrogate stands for the byte in its lower half
    return f"%{ord(match[0]) & 0xFF:02X}"


def _pieces(name: str) -> list[str]:
    pieces, size = [""], 0
    for character in name:
        width = len(character.encode())
        if size + width > _LONGEST_NAME:
            pieces.append("")
            size = 0
        pieces[-1] += character
        size += width
    if len(pieces) > 1 and pieces[-1] in (".", ".."):
        # these name folders
        pieces[-2:] = [pieces[-2][:-1], pieces[-2][-1:] + pieces[-1]]
    return pieces
