"""A job's outputs: from the runner's tar stream to plain objects and a manifest, and back to a tar stream."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Entry, Manifest
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.layout import AttemptPlace, JobPlace
from dstack_cloud.storage.tarstream import BrokenTar, Member, TarStream
from dstack_cloud.storage.transfers import SMALL, Uploads, downloads

# small pieces of an archive are joined to about this many bytes
_PIECE = 2**18
_END = bytes(2 * tarfile.BLOCKSIZE)


def save_artifacts(store: Store, place: AttemptPlace, tar_chunks: Iterable[bytes]) -> Manifest:
    """Writes each file as an object; nothing counts before `publish`. Safe to repeat.

    Raises RunnerError where the stream breaks off or names something outside the job's folders; StoreError.
    """
    stream = TarStream(tar_chunks)
    try:
        with Uploads(store) as uploads:
            saving = _Saving(store, place, uploads)
            for member in stream:
                saving.take(member, stream.content())
    except BrokenTar as error:
        raise errors.RunnerError(f"the artifacts' stream is broken: {error}", "they are asked for again") from error
    entries = saving.entries
    _check_parents(entries)
    return Manifest(place.run, place.job, place.attempt, tuple(entries[path] for path in sorted(entries)))


def publish(store: Store, place: JobPlace, manifest: Manifest) -> int:
    """Makes it the one that counts; its number. Publishing the same again changes nothing.

    Raises Conflict where a later attempt has published already: this one was given up.
    """
    raw = manifest.to_json()
    while True:
        highest = _highest(store, place)
        if highest:
            present = store.get(place.manifest(highest))
            if present == raw:
                return highest
            if Manifest.from_json(present).attempt > manifest.attempt:
                raise errors.Conflict(f"a later attempt than {manifest.attempt} has saved the artifacts already")
        if store.create(place.manifest(highest + 1), raw):
            return highest + 1


def load_manifest(store: Store, place: JobPlace) -> Manifest | None:
    """The one that counts; None: nothing has been saved."""
    highest = _highest(store, place)
    return Manifest.from_json(store.get(place.manifest(highest))) if highest else None


def _highest(store: Store, place: JobPlace) -> int:
    numbers = [int(PurePosixPath(info.key).stem) for info in store.list(place.manifests)]
    return max(numbers, default=0)


class _Saving:
    def __init__(self, store: Store, place: AttemptPlace, uploads: Uploads) -> None:
        self.entries: dict[str, Entry] = {}
        self._store = store
        self._place = place
        self._uploads = uploads

    def take(self, member: Member, content: Iterator[bytes]) -> None:
        path = _checked(member.name)
        if not path:
            # the folder itself
            return
        if member.kind == "file":
            entry = self._file(path, member, content)
        elif member.kind == "hardlink":
            entry = self._copy(path, _checked(member.target))
        else:
            target = member.target if member.kind == "link" else ""
            entry = Entry(path, member.kind, member.mode, member.modified_at, target=target)
        self.entries[path] = replace(entry, path=path, attempt=self._place.attempt)

    def _file(self, path: str, member: Member, content: Iterator[bytes]) -> Entry:
        key = self._place.artifact(path)
        if member.size <= SMALL:
            data = b"".join(content)
            digest = hashlib.sha256(data)
            self._uploads.put(key, data)
        else:
            digest = hashlib.sha256()
            self._store.put(key, _hashed(content, digest))
        return Entry(path, "file", member.mode, member.modified_at, member.size, digest.hexdigest())

    def _copy(self, path: str, original: str) -> Entry:
        """A hard link becomes a file of its own: objects have no second names."""
        entry = self.entries.get(original)
        if entry is None or entry.kind != "file":
            raise BrokenTar(f"{path!r} is a hard link to {original!r}, which isn't there")
        self._uploads.finish()
        self._store.put(self._place.artifact(path), self._store.open(self._place.artifact(original)))
        return entry


def _hashed(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _checked(name: str) -> str:
    """A member's path without `./`; "" is the folder itself. Raises BrokenTar for one that leads out."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise BrokenTar(f"{name!r} leads out of the job's folder")
    return "/".join(parts)


def _check_parents(entries: dict[str, Entry]) -> None:
    """Nothing lies below a file or a link: unpacked elsewhere, it would land where the link leads."""
    folders: set[str] = set()
    for path in entries:
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            folders.add(parent)
            parent = parent.rpartition("/")[0]
    for path in folders:
        if path in entries and entries[path].kind != "dir":
            raise errors.RunnerError(f"the artifacts have files below {path!r}, which is a {entries[path].kind}")


def archive(store: Store, manifest: Manifest, prefix: str = "") -> Iterator[bytes]:
    """A tar stream of what is at or below `prefix`, under the paths it has in the manifest.

    Every file's SHA-256 is checked on the way; raises StoreError at the first that differs or is missing, and the stream
    then has no end mark.
    """
    buffer = bytearray()
    entries = manifest.below(prefix)
    small = downloads(store, [_key(manifest, entry) for entry in entries if _is_small(entry)])
    for entry in entries:
        buffer += _header(entry)
        if entry.kind == "file":
            for chunk in _verified(entry, _content(store, _key(manifest, entry), small if _is_small(entry) else None)):
                buffer += chunk
                if len(buffer) >= _PIECE:
                    yield bytes(buffer)
                    buffer.clear()
            buffer += bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(buffer) + _END


def _is_small(entry: Entry) -> bool:
    return entry.kind == "file" and entry.size <= SMALL


def _key(manifest: Manifest, entry: Entry) -> str:
    return AttemptPlace(manifest.run, manifest.job, entry.attempt).artifact(entry.path)


def _content(store: Store, key: str, small: Iterator[bytes] | None) -> Iterator[bytes]:
    """The next of the small ones, which come in order; a large one is streamed. Nothing where it is missing."""
    try:
        yield from (next(small),) if small is not None else store.open(key)
    except errors.NotFound:
        return


def _verified(entry: Entry, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Never more bytes than the manifest says, or the stream behind them would be misread."""
    digest = hashlib.sha256()
    left = entry.size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        digest.update(chunk)
        yield chunk
    if left or digest.hexdigest() != entry.sha256:
        raise errors.StoreError(
            f"the object of {entry.path!r} isn't what was saved", "it was changed in the store; run the workflow again"
        )


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[entry.kind]
    info.mode, info.size, info.linkname, info.mtime = entry.mode, entry.size, entry.target, int(entry.modified_at)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
