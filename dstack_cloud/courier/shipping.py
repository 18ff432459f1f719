"""How a courier gets onto a machine that has a runner: one command over SSH that reads all it installs from its input. Pure."""

from __future__ import annotations

import io
import shlex
import tarfile

from dstack_cloud.courier import verdict
from dstack_cloud.courier.bundle import bundle
from dstack_cloud.courier.errand import Errand, MachineStore
from dstack_cloud.runner_bootstrap import units
from dstack_cloud.runner_bootstrap.install import AS_ROOT, Step, start_session, write
from dstack_cloud.runner_bootstrap.placement import MACHINE, Placement
from dstack_cloud.runner_bootstrap.user_data import LOGIN_USER, UNITS

# what the command prints where the machine carries from now on
READY = verdict.READY.encode()
# a store that doesn't answer is waited for so long on the machine, and a little longer for the machine's word; seconds
WAIT_SECONDS = 30
UNPACK = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"


def ship(
    errand: Errand, store: MachineStore, library: bytes, *, user: str = LOGIN_USER, place: Placement = MACHINE
) -> Step:
    """Prints READY when it has put something into the store, or why it can't. Twice does no harm.

    `library`: a zip archive, as from `wheels`; empty where it is there already.
    """
    folder = f"{place.base}/courier"
    files = {
        "courier.pyz": bundle(),
        "library.zip": library,
        "errand.json": errand.to_json(),
        "store.json": store.place_json(),
    }
    if store.credentials is not None:
        files["credentials.json"] = store.credentials_json()
    owner = f"chown -R {user} {folder} {place.private}" if place.ephemeral else ":"
    script = "\n".join(
        (
            "set -eu",
            "umask 077",
            # a name that others could have taken before us is ours or refused
            f"mkdir {place.private} 2>/dev/null || [ -O {place.private} ] || chown $(id -u) {place.private}",
            f"[ ! -L {place.private} ]; chmod 700 {place.private}; new={place.private}/new; rm -rf $new; mkdir $new",
            # all or nothing of what may have broken off
            f"{place.python} -I -c {shlex.quote(_TAKE)} $new",
            f"mkdir -p {folder}",
            f"[ ! -e $new/credentials.json ] || mv $new/credentials.json {place.private}/",
            f"mv $new/errand.json $new/store.json {folder}/",
            f"if [ -s $new/library.zip ] && [ ! -d {place.base}/library ]; then",
            f"  {place.python} -I -c {shlex.quote(UNPACK)} $new/library.zip {place.base}/library.new",
            f"  chmod -R a+rX {place.base}/library.new; mv {place.base}/library.new {place.base}/library",
            "fi",
            f"chmod 644 $new/courier.pyz; mv $new/courier.pyz {place.courier}; rm -rf $new",
            owner,
            f"verdict={folder}/verdict",
            # a refusal that is over; what is said for good stays
            f'[ "$(cat $verdict 2>/dev/null)" = {verdict.READY} ] || rm -f $verdict',
            'if [ "$(id -u)" = 0 ]; then',
            write(f"{UNITS}/{place.courier_unit}", units.courier_service(user, place)),
            # a unit that is new to systemd is found without a reload, which takes as long as all the rest
            f"chmod 644 {UNITS}/{place.courier_unit}; mkdir -p {UNITS}/multi-user.target.wants",
            f"ln -sf {UNITS}/{place.courier_unit} {UNITS}/multi-user.target.wants/",
            f"systemctl start {place.courier_unit}",
            "else",
            *start_session(place, "courier", units.carry(place)),
            "fi",
            *_hear(place),
        )
    )
    return Step(AS_ROOT.replace("{script}", shlex.quote(script)), _tar(files))


def _hear(place: Placement) -> list[str]:
    """Waits for the courier's verdict, and prints it."""
    return [
        f"i=0; while [ ! -s $verdict ] && [ $i -lt {WAIT_SECONDS}0 ]; do",
        "  i=$((i + 1)); sleep 0.1",
        "done",
        # as exclusive as the courier's own: from now on it can't become ready any more
        "[ -s $verdict ] || (umask 022; set -C; echo it said nothing > $verdict) 2>/dev/null || sleep 0.1",
        "cat $verdict",
        f'[ "$(cat $verdict 2>/dev/null)" != {verdict.READY} ] || exit 0',
        f'if [ "$(id -u)" = 0 ]; then systemctl disable -q --now {place.courier_unit}; fi',
    ]


# Python's own tarfile tells an archive that breaks off from a whole one, and is there where tar isn't
_TAKE = """
import sys, tarfile
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    names = []
    for member in archive:
        names.append(member.name)
        with open(sys.argv[1] + "/" + member.name, "wb") as file:
            left = member.size
            source = archive.extractfile(member)
            while left:
                data = source.read(min(left, 1 << 20))
                if not data:
                    sys.exit("the courier came in part")
                left -= file.write(data)
sys.exit(0 if names[-1:] == ["end"] else "the courier came in part")
"""


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in {**files, "end": b""}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
