"""The source of a run: an exact copy of the working folder, named by its content and stored once."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dstack_cloud.client.listing import Entry, Listing, scan, unreadable
from dstack_cloud.client.packing import CHUNK, Changed, open_file, pack, refused
from dstack_cloud.errors import UsageError

if TYPE_CHECKING:
    from dstack_cloud.api.schemas import CodeView

TRIES = 3
WORKFLOW_FOLDERS = (".dstack", ".dstack/workflows")
LARGE = 1 << 30  # bytes of a folder that is sent only after a question


class Snapshot(NamedTuple):
    """`sha256` names the content; `size` is bytes before compression. Every file entry's `detail` is its sha256."""

    folder: Path
    entries: list[Entry]
    sha256: str
    size: int
    warnings: list[str]

    @property
    def view(self) -> CodeView:
        files = sum(entry.kind != "dir" for entry in self.entries)
        return {"sha256": self.sha256, "size": self.size, "files": files}

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """By path, of what is there or below; "." is everything but the workflow files. Raises UsageError where nothing is: what
        depends on it would be used again for ever."""
        found = {}
        for path in paths:
            lines = [_manifest_line(entry) for entry in self.entries if _is_part(entry.path, posixpath.normpath(path))]
            if not lines and posixpath.normpath(path) != ".":
                raise _nothing(path, [entry.path for entry in self.entries])
            found[path] = hashlib.sha256(b"".join(lines)).hexdigest()
        return found


def _is_part(path: str, of: str) -> bool:
    if of == ".":
        return not (posixpath.dirname(path) in WORKFLOW_FOLDERS and path.endswith((".yaml", ".yml")))
    return path == of or path.startswith(f"{of}/")


def _nothing(path: str, there: Sequence[str]) -> UsageError:
    near = _near(path, there)
    hint = "name a file or folder; what .gitignore or .dstackignore names isn't part of a run"
    if any(char in path for char in "*?["):
        hint = "`*`, `?` and `[` stand for themselves there: name the file, or the folder that all of them are in"
    elif near:
        hint = f"did you mean `{near}`?"
    return UsageError(f"`deps` has `include: {path}`, and nothing in the working folder is called that", hint)


def _near(path: str, there: Sequence[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(path, there, 1)), "")


class CodeStore(Protocol):
    """Where snapshots go; `Client` is one."""

    def has_code(self, sha256: str) -> bool: ...
    def put_code(self, sha256: str, packed: Iterator[bytes]) -> None: ...


def check_folder(folder: Path) -> None:
    """Raises UsageError where `folder` is the home folder or holds it (`/` does): copying that is hardly meant."""
    home = Path(os.path.realpath(Path.home()))
    if home.is_relative_to(os.path.realpath(folder)):
        raise UsageError(
            f"{folder} is {'your home folder' if home.samefile(folder) else 'far more than a project'}: it isn't copied",
            "run it in the folder of your project, or add --force to copy all of this one",
        )


def check_paths(folder: Path, paths: list[str]) -> None:
    """Raises UsageError for an artifact or cache path that leads out of `folder` through a symlink."""
    root = os.path.realpath(folder)
    for path in paths:
        if path.startswith("~"):
            continue
        place = os.path.realpath(f"{root}/{path}")
        if place != root and not place.startswith(root.rstrip("/") + "/"):
            raise UsageError(
                f"the path {path} leads out of the working folder through a symlink, to {place}",
                "artifacts and caches must lie in the working folder or below ~/: name the real folder there",
            )


def check_there(listing: Listing, reads: Mapping[str, Sequence[str]]) -> None:
    """`reads` by workflow. Raises UsageError where something isn't part of what is sent: better now than on a machine."""
    there = {entry.path: entry for entry in listing.entries}
    for workflow, paths in reads.items():
        for path in paths:
            above = [path[:end] for end in range(len(path)) if path[end] == "/"]
            if path not in there and not any(there[each].kind == "link" for each in above if each in there):
                raise _not_there(workflow, path, listing)


def _not_there(workflow: str, path: str, listing: Listing) -> UsageError:
    text = f"the workflow `{workflow}` needs {path}, and the working folder has nothing of that name"
    if os.path.lexists(f"{listing.folder}/{path}"):
        text = f"the workflow `{workflow}` needs {path}, which isn't sent"
        return UsageError(text, "an ignore file (.gitignore or .dstackignore) names it: take it out there")
    near = _near(path, [entry.path for entry in listing.entries])
    return UsageError(text, f"did you mean `{near}`?" if near else "make it, or correct the workflow")


def measure(listing: Listing) -> Snapshot:
    """Reads every file once. Raises UsageError for one that can't be read, Changed for one that is gone."""
    entries = [_measured(listing.folder, entry) if entry.kind == "file" else entry for entry in listing.entries]
    digest = hashlib.sha256(b"".join(map(_manifest_line, entries)))
    size = sum(entry.size for entry in entries)
    return Snapshot(listing.folder, entries, digest.hexdigest(), size, listing.warnings)


def _manifest_line(entry: Entry) -> bytes:
    fields = f"{entry.kind}\0{entry.mode:o}\0{entry.size}\0{entry.detail}\0{entry.path}\0\n"
    return os.fsencode(fields)


def _measured(folder: Path, entry: Entry) -> Entry:
    try:
        descriptor = open_file(f"{folder}/{entry.path}")
    except OSError as error:
        raise refused(entry.path, error) from error
    digest = hashlib.sha256()
    size = 0
    try:
        while data := os.read(descriptor, CHUNK):
            digest.update(data)
            size += len(data)
    except OSError as error:
        raise unreadable(entry.path, error) from error
    finally:
        os.close(descriptor)
    return Entry(entry.path, "file", entry.mode, size, digest.hexdigest(), entry.modified_at)


def store(
    client: CodeStore,
    folder: Path,
    *,
    state_folder: Path,
    check: Callable[[Listing], None] = lambda listing: None,
    approve: Callable[[Listing], None],
) -> Snapshot:
    """Takes a snapshot and sends it where the server hasn't got it. `check` is shown what there is before it is read, and `approve`
    is asked where that is a large folder (over 1 GiB); they raise to refuse. Raises UsageError for a file that can't be read or keeps changing."""

    def send(snapshot: Snapshot) -> None:
        if not client.has_code(snapshot.sha256):
            client.put_code(snapshot.sha256, pack(folder, snapshot.entries))

    return take(folder, state_folder, check=check, approve=approve, use=send)


def take(
    folder: Path,
    state_folder: Path,
    *,
    check: Callable[[Listing], None] = lambda listing: None,
    approve: Callable[[Listing], None] = lambda listing: None,
    use: Callable[[Snapshot], None] = lambda snapshot: None,
) -> Snapshot:
    """The same without sending it: what `use` does with it is done again where a file has changed meanwhile."""
    changed = ""
    for attempt in range(TRIES):
        listing = scan(folder, state_folder)
        check(listing)
        if attempt == 0 and listing.size > LARGE:
            approve(listing)
        try:
            snapshot = measure(listing)
            use(snapshot)
            return snapshot
        except Changed as change:
            changed = change.path
    raise UsageError(
        f"{changed} changes while it is copied",
        f"stop what writes to it, or name it in .gitignore or .dstackignore so that it stays here ({TRIES} tries were made)",
    )
