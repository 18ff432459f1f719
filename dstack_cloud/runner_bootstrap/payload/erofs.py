"""A tar as a file system: what is in it needn't be unpacked, only told where it lies.

The file that is mounted holds the tar as it came, and behind it what EROFS wants to know of it: an inode for each member and a list of
names for each folder. To make ten thousand files takes a disk seconds; to describe them takes a fraction of one.

The layout: https://erofs.docs.kernel.org/en/latest/core_ondisk.html, and fs/erofs/erofs_fs.h of Linux. A file is mounted without a
loop device since Linux 6.12, which is what is asked for here: loop devices are few, and a container shares them with its computer.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dstack_cloud.runner_bootstrap.payload.unpack import BadArchive, Forward, Source, parts_of

# what lies in a tar begins at multiples of this, and so may the blocks of a file system since Linux 6.4
BLOCK, BLOCK_BITS = 512, 9
# before the tar: the superblock has its place in the file's first 4 KiB
TAR_AT, SUPERBLOCK_AT = 4096, 1024
MAGIC = 0xE0F5E1E2
SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sI44x")
INODE = struct.Struct("<HHHHQIIIIQII16x")
ENTRY = struct.Struct("<QHBx")
# the content lies in one piece, and the inode has 64 bytes
PLAIN_EXTENDED = 0 << 1 | 1
# inodes are counted by 32 bytes; the first number is nobody's, for 0 means no file
SLOT, FIRST_SLOT, SLOTS = 32, 2, 2
# `trusted.overlay.opaque`: its prefix is a number, see fs/erofs/xattr.h
OPAQUE_NAME, TRUSTED = b"overlay.opaque", 4
OPAQUE = struct.pack("<I8x", 0) + struct.pack("<BBH", len(OPAQUE_NAME), TRUSTED, 1) + OPAQUE_NAME + b"y\0"
# so many words of 4 bytes, the first 12 bytes counted as one
OPAQUE_COUNT = (len(OPAQUE) - 12) // 4 + 1
KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFLNK)
DIRENT_KINDS = {kind: number for number, kind in enumerate(KINDS, 1)}
TAR_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.CONTTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
# https://man7.org/linux/man-pages/man2/mount.2.html
MS_RDONLY, MS_NODEV, MS_NOATIME, MNT_DETACH = 1, 4, 1024, 2


class Node:
    """`at`: where the content lies in the file; `target`: a link's; `rdev`: a device's number."""

    __slots__ = ("at", "children", "links", "mode", "mtime", "number", "opaque", "owner", "rdev", "size", "target")

    def __init__(self, mode: int, owner: tuple[int, int] = (0, 0), mtime: int = 0) -> None:
        self.mode, self.owner, self.mtime = mode, owner, mtime
        self.children: dict[bytes, Node] = {}
        self.at = self.size = self.rdev = self.number = 0
        self.links = 1
        self.target = b""
        self.opaque = False

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


class _Kept(Forward):
    """What is read of it is written down."""

    def __init__(self, source: Source, sink: BinaryIO) -> None:
        super().__init__(source)
        self._sink = sink

    def read(self, size: int) -> bytes:
        data = super().read(size)
        self._sink.write(data)
        return data


class Tree:
    """`deleted` is a file of the tar that isn't part of it: the paths that aren't there any more in what lies below, one a line; as
    `removed`, None where there is no such file. `newest`: the path of the file that was changed last, and its size."""

    def __init__(self, deleted: str) -> None:
        self.root = Node(stat.S_IFDIR | 0o755)
        self._deleted = deleted
        self.removed: list[str] | None = None
        self.newest = ("", 0)
        self._changed_at = -1.0

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Raises BadArchive."""
        if member.name == self._deleted:
            content = archive.extractfile(member)
            text = content.read() if content else b""
            self.removed = text.decode("utf-8", "surrogateescape").split("\n")
            return
        parts = [os.fsencode(part) for part in parts_of(member.name)]
        if not parts:
            return
        folder = self._folder(parts[:-1], member.name)
        if member.islnk():
            folder.children[parts[-1]] = self._linked(member)
            return
        node = _node(member)
        there = folder.children.get(parts[-1])
        if node.is_folder and there is not None and there.is_folder:
            node.children = there.children
        folder.children[parts[-1]] = node
        if member.isreg() and member.mtime > self._changed_at:
            self.newest, self._changed_at = (member.name, member.size), member.mtime

    def hide(self, paths: Iterable[str]) -> None:
        """As overlayfs has it, see `layer.remove_from`: what the tar brought stays. Raises BadArchive."""
        for path in sorted(filter(None, paths)):
            parts = [os.fsencode(part) for part in parts_of(path)]
            folder: Node | None = self.root
            for part in parts[:-1]:
                folder = folder.children.get(part) if folder else None
            if folder is None or not folder.is_folder:
                continue
            there = folder.children.get(parts[-1])
            if there is None:
                folder.children[parts[-1]] = Node(stat.S_IFCHR)
            elif there.is_folder:
                there.opaque = True

    def _folder(self, parts: list[bytes], name: str) -> Node:
        node = self.root
        for part in parts:
            node = node.children.setdefault(part, Node(stat.S_IFDIR | 0o755))
            if not node.is_folder:
                raise BadArchive(f"{name!r} leads through a link or a file")
        return node

    def _linked(self, member: tarfile.TarInfo) -> Node:
        node: Node | None = self.root
        for part in parts_of(member.linkname):
            node = node.children.get(os.fsencode(part)) if node else None
        if node is None or node.is_folder:
            raise BadArchive(f"{member.name!r} links to {member.linkname!r}, which isn't a file before it")
        node.links += 1
        return node


def _node(member: tarfile.TarInfo) -> Node:
    kind = TAR_KINDS.get(member.type)
    if kind is None:
        raise BadArchive(f"{member.name!r} is of no kind that is known")
    node = Node(kind | stat.S_IMODE(member.mode), (member.uid, member.gid), int(member.mtime))
    if kind == stat.S_IFREG:
        node.at, node.size = TAR_AT + member.offset_data, member.size
    elif kind == stat.S_IFLNK:
        node.target = os.fsencode(member.linkname)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        node.rdev = _device(member.devmajor, member.devminor)
    return node


def _device(major: int, minor: int) -> int:
    """As Linux keeps it: new_encode_dev of include/linux/kdev_t.h."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def make(source: Source, place: Path, deleted: str) -> Tree:
    """Writes the plain tar stream to the file, so that it can be mounted. Raises BadArchive, OSError and what the source raises."""
    tree = Tree(deleted)
    with place.open("wb") as file:
        file.seek(TAR_AT)
        stream = _Kept(source, file)
        try:
            with tarfile.open(
                fileobj=cast(BinaryIO, stream), mode="r:", encoding="utf-8", errors="surrogateescape"
            ) as archive:
                for member in archive:
                    tree.add(archive, member)
                    archive.members.clear()  # type: ignore[attr-defined]  # as in `unpack`
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise error if isinstance(error, BadArchive) else BadArchive(f"not a tar stream: {error}") from error
        stream.drain()
        if tree.removed is not None:
            tree.hide(tree.removed)
        _describe(tree.root, file, TAR_AT + stream.tell())
    return tree


def _describe(root: Node, file: BinaryIO, end: int) -> None:
    """What stands behind the tar, and the superblock, which says where."""
    start = end + -end % BLOCK
    nodes = list(_numbered(root))
    inodes = bytearray(nodes[-1].number * SLOT + 2 * SLOTS * SLOT)
    contents: list[bytes] = []
    at = start + len(inodes) + -len(inodes) % BLOCK
    for node, content in _with_contents(root):
        data = content if content is not None else node.target
        if data:
            node.at, node.size = at, len(data)
            contents.append(data + bytes(-len(data) % BLOCK))
            at += len(contents[-1])
        _write_inode(node, inodes)
    file.seek(start)
    file.write(inodes + bytes(-len(inodes) % BLOCK))
    file.writelines(contents)
    superblock = SUPERBLOCK.pack(
        MAGIC, 0, 0, BLOCK_BITS, 0, root.number, len(nodes), 0, 0, at // BLOCK, start // BLOCK, 0, b"", b"", 0
    )
    file.seek(SUPERBLOCK_AT)
    file.write(superblock)


def _numbered(root: Node) -> Iterator[Node]:
    """Each node once, with its number: the 32 bytes where its inode begins."""
    number, pending = FIRST_SLOT, [root]
    while pending:
        node = pending.pop()
        if node.number:
            continue
        node.number = number
        number += 2 * SLOTS if node.opaque else SLOTS
        pending.extend(node.children.values())
        yield node


def _with_contents(root: Node) -> Iterator[tuple[Node, bytes | None]]:
    """Each node once, and of a folder the list of its names."""
    seen: set[int] = set()
    pending = [(root, root)]
    while pending:
        node, parent = pending.pop()
        if node.number in seen:
            continue
        seen.add(node.number)
        pending.extend((child, node) for child in node.children.values())
        yield node, _names(node, parent) if node.is_folder else None


def _names(folder: Node, parent: Node) -> bytes:
    """In blocks, sorted by their bytes: first where each stands, then the names themselves. A folder's list may end within a block."""
    found = {**folder.children, b".": folder, b"..": parent}
    blocks: list[bytes] = []
    heads: list[tuple[int, int]] = []
    names: list[bytes] = []
    used = 0
    for name in sorted(found):
        if used + ENTRY.size + len(name) > BLOCK:
            blocks.append(_block(heads, names).ljust(BLOCK, b"\0"))
            heads, names, used = [], [], 0
        node = found[name]
        heads.append((node.number, DIRENT_KINDS[stat.S_IFMT(node.mode)]))
        names.append(name)
        used += ENTRY.size + len(name)
    return b"".join((*blocks, _block(heads, names)))


def _block(heads: list[tuple[int, int]], names: list[bytes]) -> bytes:
    at = ENTRY.size * len(heads)
    packed = []
    for (number, kind), name in zip(heads, names, strict=True):
        packed.append(ENTRY.pack(number, at, kind))
        at += len(name)
    return b"".join((*packed, *names))


def _write_inode(node: Node, inodes: bytearray) -> None:
    count = OPAQUE_COUNT if node.opaque else 0
    links = 2 if node.is_folder else node.links
    union = node.rdev or node.at // BLOCK
    at = node.number * SLOT
    INODE.pack_into(
        inodes, at, PLAIN_EXTENDED, count, node.mode, 0, node.size, union, node.number, *node.owner, max(node.mtime, 0),
        0, links,
    )  # fmt: skip
    if node.opaque:
        inodes[at + INODE.size : at + INODE.size + len(OPAQUE)] = OPAQUE


def mount(file: Path, folder: Path) -> None:
    """Read-only. Raises OSError: ENODEV or ENOTBLK where this kernel can't."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = MS_RDONLY | MS_NODEV | MS_NOATIME
    if libc.mount(os.fsencode(file), os.fsencode(folder), b"erofs", ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(file))


def unmount(folder: Path) -> None:
    """What still uses it keeps it until then. Raises OSError where nothing is mounted there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(folder), MNT_DETACH):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
