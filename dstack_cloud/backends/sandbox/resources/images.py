"""The engine's images as the objects of a registry: a manifest and its blobs, kept in a folder for each image."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
import shutil
import tarfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dstack_cloud.backends.sandbox.client import CHUNK, DockerClient

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
# engines look at the bytes: a tar that isn't compressed is taken as well
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Images:
    """Reads each image from the engine once, when it is first asked for. Thread-safe."""

    def __init__(self, client: DockerClient, spool: Path) -> None:
        self._client = client
        self._spool = spool
        self._lock = threading.Lock()
        self._unpacking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def manifest(self, name: str, reference: str) -> bytes | None:
        """`reference` is a tag or a manifest's digest. None where the engine has no such image."""
        if DIGEST.fullmatch(reference):
            path = self.blob(reference)
            return path.read_bytes() if path else None
        found = self._client.image(f"{name.removeprefix('library/')}:{reference}")
        return self._unpacked(found["Id"]) if found else None

    def blob(self, digest: str) -> Path | None:
        """The file of a config, layer or manifest that a manifest has named before."""
        if not DIGEST.fullmatch(digest):
            return None
        return next(self._spool.glob(f"*/{_file_name(digest)}"), None)

    def _unpacked(self, image: str) -> bytes:
        folder = self._spool / _file_name(image)
        with self._lock:
            unpacking = self._unpacking[image]
        with unpacking:
            manifest = folder / "manifest.json"
            if not manifest.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                content = json.dumps(self._unpack(image, folder)).encode()
                (folder / hashlib.sha256(content).hexdigest()).write_bytes(content)
                manifest.write_bytes(content)
            return manifest.read_bytes()

    def _unpack(self, image: str, folder: Path) -> dict[str, object]:
        """Splits what `docker save` would write into blobs; returns the manifest."""
        blobs: dict[str, _Blob] = {}
        links: dict[str, str] = {}
        index: list[dict[str, Any]] = []
        with tarfile.open(fileobj=_export(self._client, image), mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() else None
                if member.issym():
                    # the engine writes a layer that comes twice once, and links to it
                    links[member.name] = posixpath.normpath(f"{posixpath.dirname(member.name)}/{member.linkname}")
                elif content is not None and member.name == "manifest.json":
                    index = json.load(content)
                elif content is not None:
                    blobs[member.name] = _store(content, folder)
        layers = [blobs[links.get(layer, layer)] for layer in index[0]["Layers"]]
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _describe(CONFIG, blobs[index[0]["Config"]]),
            "layers": [_describe(LAYER, layer) for layer in layers],
        }


@dataclass(frozen=True)
class _Blob:
    digest: str
    size: int


def _describe(kind: str, blob: _Blob) -> dict[str, object]:
    return {"mediaType": kind, "size": blob.size, "digest": blob.digest}


def _store(content: IO[bytes], folder: Path) -> _Blob:
    digest, size = hashlib.sha256(), 0
    partial = folder / "partial"
    with partial.open("wb") as file:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            size += file.write(chunk)
    partial.rename(folder / digest.hexdigest())
    return _Blob(f"sha256:{digest.hexdigest()}", size)


def _file_name(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _export(client: DockerClient, image: str) -> io.BufferedReader:
    return io.BufferedReader(_Chunks(client.stream(f"/images/{image}/get")), CHUNK)


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed asks for any Buffer
        self._rest = self._rest or next(self._chunks, b"")
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
