"""The manifests of a job: which one counts, and what goes when it doesn't any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Entry, Manifest
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.layout import AttemptPlace, JobPlace, read_manifest
from dstack_cloud.storage.transfers import Uploads

# so many manifests stay while the job runs: the newest, and the one that somebody may still be reading
_KEPT = 2
# S3 copies no larger object in one request
_LARGEST_COPY = 5 * 2**30


def publish(store: Store, place: JobPlace, manifest: Manifest) -> int:
    """Makes it the one that counts; its number. Publishing the same again changes nothing.

    Earlier ones go, and what only they named of the saves. Raises Conflict where a later attempt has published already, or
    this attempt its last word: this one was given up.
    """
    raw = manifest.to_json()
    while True:
        numbers = _numbers(store, place)
        highest = numbers[-1] if numbers else 0
        present = _load(store, place, highest) if highest else None
        if highest and present is None:
            # later ones have come since, and it was removed
            continue
        if present:
            if present == manifest:
                return highest
            _refuse_late(manifest, present)
        if store.create(place.manifest(highest + 1), raw):
            _forget(store, place, numbers[: 1 - _KEPT], [present, manifest] if present else [manifest])
            return highest + 1


def _refuse_late(manifest: Manifest, present: Manifest) -> None:
    if present.attempt > manifest.attempt:
        raise errors.Conflict(f"a later attempt than {manifest.attempt} has saved the artifacts already")
    if present.attempt == manifest.attempt and present.complete and not manifest.complete:
        raise errors.Conflict(f"attempt {manifest.attempt} has saved its last artifacts already")


def load_manifest(store: Store, place: JobPlace) -> Manifest | None:
    """The one that counts; None: nothing has been saved."""
    while numbers := _numbers(store, place):
        # one that is gone has been superseded since
        if manifest := _load(store, place, numbers[-1]):
            return manifest
    return None


def content_of(store: Store, place: JobPlace) -> str:
    """What is saved now of a job, as one digest; "" where nothing is."""
    manifest = load_manifest(store, place)
    return "" if manifest is None else manifest.content


def object_key(manifest: Manifest, entry: Entry) -> str:
    return AttemptPlace(manifest.run, manifest.job, entry.attempt).artifact(entry.path, entry.save)


def withdraw(store: Store, place: JobPlace) -> None:
    """Removes what was saved while the job was running, and nothing else: for a job that was aborted. Safe to repeat."""
    manifests = {number: manifest for number in _numbers(store, place) if (manifest := _load(store, place, number))}
    store.delete([place.manifest(number) for number, manifest in manifests.items() if not manifest.complete])
    _sweep(store, place, [manifest for manifest in manifests.values() if manifest.complete])


def discard(store: Store, place: JobPlace) -> None:
    """Removes all that was saved, for a job that is over and is to start again with nothing. Safe to repeat."""
    store.delete([place.manifest(number) for number in _numbers(store, place)])
    _sweep(store, place, [])


def settle(store: Store, place: JobPlace) -> Manifest | None:
    """For a job that is over: all its files become objects in artifacts/ of the last attempt that saved any; what nothing
    names any more goes. The manifest that counts then; None: nothing was saved.

    Nobody may save meanwhile; readers do no harm. Safe to repeat after a crash anywhere.
    """
    manifest = load_manifest(store, place)
    if manifest is None:
        _sweep(store, place, [])
        return None
    settled = _gathered(store, manifest)
    if settled != manifest:
        # it may not be complete, and still replaces one that isn't either
        publish(store, place, settled)
    numbers = _numbers(store, place)
    store.delete([place.manifest(number) for number in numbers[:-1]])
    _sweep(store, place, [settled])
    return settled


def _gathered(store: Store, manifest: Manifest) -> Manifest:
    """The same files, copied to where a person looks for them. Nothing was named there before (see storage.layout)."""
    entries: list[Entry] = []
    with Uploads(store) as copies:
        for entry in manifest.entries:
            moved = replace(entry, attempt=manifest.attempt, save="")
            if moved != entry and entry.kind == "file":
                if entry.size > _LARGEST_COPY:
                    moved = entry
                else:
                    copies.do(store.copy, object_key(manifest, entry), object_key(manifest, moved))
            entries.append(moved)
    return replace(manifest, entries=tuple(entries))


def _numbers(store: Store, place: JobPlace) -> list[int]:
    return sorted(read_manifest(info.key) for info in store.list(place.manifests))


def _load(store: Store, place: JobPlace, number: int) -> Manifest | None:
    """None where it is gone."""
    try:
        return Manifest.from_json(store.get(place.manifest(number)))
    except errors.NotFound:
        return None


def _forget(store: Store, place: JobPlace, numbers: list[int], kept: list[Manifest]) -> None:
    """Removes superseded manifests; first what only they name of the saves, so that a crash leaves nothing unseen. What an
    attempt left at its end stays until the job is over."""
    needed = {key for manifest in kept for key in _keys(manifest)}
    for number in numbers:
        if manifest := _load(store, place, number):
            saved = {object_key(manifest, entry) for entry in manifest.entries if entry.save}
            store.delete(sorted(saved - needed))
    store.delete([place.manifest(number) for number in numbers])


def _sweep(store: Store, place: JobPlace, manifests: Iterable[Manifest]) -> None:
    """Removes the objects of files that none of these names."""
    needed = {key for manifest in manifests for key in _keys(manifest)}
    found = (info.key for info in store.list(place.attempts) if place.is_output(info.key))
    store.delete([key for key in found if key not in needed])


def _keys(manifest: Manifest) -> set[str]:
    return {object_key(manifest, entry) for entry in manifest.entries if entry.kind == "file"}
