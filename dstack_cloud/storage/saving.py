"""From the runner's tar stream to plain objects, and the manifest that names them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Entry, Manifest
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.layout import AttemptPlace
from dstack_cloud.storage.tarstream import BrokenTar, Member, TarStream
from dstack_cloud.storage.transfers import SMALL, Uploads


def save_artifacts(
    store: Store,
    place: AttemptPlace,
    tar_chunks: Iterable[bytes],
    base: Manifest | None = None,
    *,
    complete: bool = True,
) -> Manifest:
    """Writes each file as an object; nothing counts before `publish`. Safe to repeat.

    What the stream calls unchanged is taken over from `base`. Not `complete`: the job is running, so this is one of many
    saves; each writes under a name of its own, for the objects of the one before must stay until this one counts.
    Raises RunnerError where the stream breaks off, names something outside the job's folders, or relies on what `base`
    hasn't; StoreError.
    """
    save = "" if complete else secrets.token_hex(4)
    stream = TarStream(tar_chunks)
    try:
        with Uploads(store) as uploads:
            saving = _Saving(store, place, save, base, uploads)
            for member in stream:
                saving.take(member, stream)
    except BrokenTar as error:
        raise errors.RunnerError(f"the artifacts' stream is broken: {error}", "they are asked for again") from error
    entries = saving.entries
    _check_parents(entries)
    in_order = tuple(entries[path] for path in sorted(entries))
    return Manifest(place.run, place.job, place.attempt, in_order, complete)


class _Saving:
    def __init__(self, store: Store, place: AttemptPlace, save: str, base: Manifest | None, uploads: Uploads) -> None:
        self.entries: dict[str, Entry] = {}
        self._store = store
        self._place = place
        self._save = save
        self._base = {entry.path: entry for entry in base.entries if entry.kind == "file"} if base else {}
        self._uploads = uploads

    def take(self, member: Member, stream: TarStream) -> None:
        path = _checked(member.name)
        if not path:
            # the folder itself
            return
        if member.kind == "file":
            entry = self._known(path) if member.unchanged else self._file(path, member, stream)
        elif member.kind == "hardlink":
            entry = self._copy(path, _checked(member.target))
        else:
            target = member.target if member.kind == "link" else ""
            entry = Entry(
                path, member.kind, member.mode, member.modified_at, target=target, attempt=self._place.attempt
            )
        self.entries[path] = entry

    def _known(self, path: str) -> Entry:
        entry = self._base.get(path)
        if entry is None:
            raise BrokenTar(f"{path!r} is said to be unchanged, but wasn't saved before")
        return entry

    def _file(self, path: str, member: Member, stream: TarStream) -> Entry:
        key = self._place.artifact(path, self._save)
        if path in self.entries:
            # two uploads of one key may end in either order, and the later member counts
            self._uploads.finish()
        if member.size <= SMALL:
            data = stream.whole()
            digest = hashlib.sha256(data)
            self._uploads.put(key, data)
        else:
            digest = hashlib.sha256()
            self._store.put(key, _hashed(stream.content(), digest), size=member.size)
        return Entry(
            path,
            "file",
            member.mode,
            member.modified_at,
            member.size,
            digest.hexdigest(),
            "",
            self._place.attempt,
            self._save,
        )

    def _copy(self, path: str, original: str) -> Entry:
        """A hard link becomes a file of its own: objects have no second names."""
        entry = self.entries.get(original)
        if entry is None or entry.kind != "file":
            raise BrokenTar(f"{path!r} is a hard link to {original!r}, which isn't there")
        self._uploads.finish()
        source = AttemptPlace(self._place.run, self._place.job, entry.attempt).artifact(original, entry.save)
        self._store.copy(source, self._place.artifact(path, self._save))
        return replace(entry, path=path, attempt=self._place.attempt, save=self._save)


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
