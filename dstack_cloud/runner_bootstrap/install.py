"""How the runner gets onto a machine: one command over SSH that reads what it installs from its standard input. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from dstack_cloud.runner_bootstrap import units
from dstack_cloud.runner_bootstrap.bundle import bundle, bundle_digest
from dstack_cloud.runner_bootstrap.machine_needs import FINAL, functions
from dstack_cloud.runner_bootstrap.placement import MACHINE, Placement
from dstack_cloud.runner_bootstrap.user_data import DEAD_MAN, LOGIN_USER, UNITS, timer

__all__ = ["FINAL", "HOST_KEY", "HostKey", "Step", "connect_command", "install", "install_command"]

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
# what only root may do, on a machine where one may be it; else as the user
AS_ROOT = (
    'if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n sh -c {script}; else exec sh -c {script}; fi'
)


@dataclass(frozen=True)
class Step:
    """A command, and what it reads from its standard input."""

    command: str
    stdin: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class HostKey:
    """The key that the machine shows from now on: OpenSSH PEM, and its public line."""

    private: str = field(repr=False)
    public: str


def install(
    *,
    seconds: int,
    user: str = LOGIN_USER,
    host_key: HostKey | None = None,
    gpus: bool = False,
    place: Placement = MACHINE,
) -> Step:
    """Twice does no harm. `seconds` is until the dead man ends an ephemeral machine.

    It is over when the runner's socket can be connected to, and prints one line of JSON: `{"python": "3.11", "machine":
    "x86_64", "libc": "glibc 2.36", "root": true}`. Exit code FINAL: the machine can't be used, its standard error says why.
    """
    private = host_key.private.encode() if host_key else b""
    script = "\n".join(
        (
            "set -eu",
            "cd /",
            # before anything that takes a while: a connection that breaks off must leave nothing half written
            _take_bundle(place, len(private)),
            *([_replace_host_key(host_key.public)] if host_key else []),
            functions(containers=True, gpus=gpus),
            f'ln -sf "$python" {place.python}',
            *((_start_on_machine(seconds, user, place)) if place.ephemeral else _start_beside_others(user, place)),
            'if [ "$(id -u)" = 0 ]; then root=true; else root=false; fi',
            'echo "${facts%\\}}, \\"root\\": $root}"',
        )
    )
    return Step(AS_ROOT.replace("{script}", shlex.quote(script)), private + bundle())


def install_command(*, seconds: int, user: str = LOGIN_USER) -> str:
    """The same without a new host key; its standard input is the bundle alone."""
    return install(seconds=seconds, user=user).command


def connect_command(place: Placement = MACHINE) -> str:
    """The command that joins its standard input and output to the runner's socket."""
    command = f"{place.python} -I {place.program} connect --socket {place.socket}"
    if place.ephemeral:
        return f"exec {command}"
    return f"if [ -r {place.program} ]; then exec {command}; else exec sudo -n {command}; fi"


def _take_bundle(place: Placement, private: int) -> str:
    """Everything comes in before anything is put in its place; a runner that is there keeps running what it started with."""
    new = f"{place.program}.new"
    lines = [
        f"umask 022; mkdir -p {place.base}; install -d -m 700 {place.folder}",
        f"(umask 077; head -c {private} >{HOST_KEY}.new)" if private else "",
        f"cat >{new}",
        f"echo '{bundle_digest()}  {new}' | sha256sum -c --status || {{ echo 'the runner came in part' >&2; exit 1; }}",
        f"chmod 644 {new}; mv {new} {place.program}",
    ]
    return "\n".join(line for line in lines if line)


def _start_on_machine(seconds: int, user: str, place: Placement) -> tuple[str, ...]:
    deadline = f"deadline=$(date -u -d \"@$(($(date +%s) + {seconds}))\" '+%Y-%m-%d %H:%M:%S UTC')"
    return (
        write(f"{UNITS}/{place.unit}", units.service(user, place)),
        deadline,
        write(f"{UNITS}/{DEAD_MAN}.timer", timer(seconds, "$deadline"), expand=True),
        f"mkdir -p {UNITS}/multi-user.target.wants; ln -sf {UNITS}/{place.unit} {UNITS}/multi-user.target.wants/",
        "systemctl daemon-reload",
        f"systemctl restart {DEAD_MAN}.timer",
        # what it is only to be stopped before may still be starting
        f"systemctl start --job-mode=ignore-dependencies {place.unit} || {{ journalctl -u {place.unit} -n 20 --no-pager >&2; exit 1; }}",
    )


def _start_beside_others(user: str, place: Placement) -> tuple[str, ...]:
    """As a unit where we are root, else as a session of its own. `end` in the folder ends it, whatever it does."""
    return (
        'if [ "$(id -u)" = 0 ]; then',
        write(f"{UNITS}/{place.unit}", units.service(user, place)),
        f"systemctl daemon-reload; systemctl enable -q {place.unit}; systemctl start {place.unit}",
        "else",
        *start_session(place, "runner", units.serve(place)),
        f"i=0; until [ -S {place.socket} ]; do i=$((i + 1)); [ $i -lt 500 ] || {{ cat {place.folder}/runner.out >&2; exit 1; }}; "
        "sleep 0.02; done",
        "fi",
        write(f"{place.base}/end", _end(place)),
        f"chmod 700 {place.base}/end",
    )


def start_session(place: Placement, name: str, command: str) -> tuple[str, ...]:
    """Shell lines that start a program which outlives the SSH session and comes back until it ends well."""
    pid, loop = f"{place.folder}/{name}.pid", f"until {command}; do sleep 1; done"
    return (
        f'if ! {{ [ -f {pid} ] && kill -0 "-$(cat {pid})" 2>/dev/null; }}; then',
        f"setsid sh -c {shlex.quote(loop)} >{place.folder}/{name}.out 2>&1 </dev/null &",
        f"echo $! >{pid}",
        "fi",
    )


def _end(place: Placement) -> str:
    """Ends courier and runner, which kills its job first; removes what lies outside of the folder."""
    unit_files = " ".join(f"{UNITS}/{name}" for name in (place.unit, place.courier_unit))
    return "\n".join(
        (
            "#!/bin/sh",
            'if [ "$(id -u)" = 0 ]; then',
            f"  systemctl disable -q --now {place.courier_unit} {place.unit} 2>/dev/null",
            f"  rm -f {unit_files}; systemctl daemon-reload",
            "fi",
            "for name in courier runner; do",
            f'  [ -f {place.folder}/$name.pid ] && pid=$(cat {place.folder}/$name.pid) && kill -TERM "-$pid" 2>/dev/null || continue',
            f'  i=0; while kill -0 "-$pid" 2>/dev/null && [ $i -lt {units.STOP_SECONDS}0 ]; do i=$((i + 1)); sleep 0.1; done',
            '  kill -KILL "-$pid" 2>/dev/null',
            "done",
            f"rm -rf {place.private}",
            "",
        )
    )


def _replace_host_key(public: str) -> str:
    """sshd shows it from now on; connections that are open stay. Checked first: a key that sshd can't read would lock us out."""
    new = f"{HOST_KEY}.new"
    check = f'[ "$(ssh-keygen -y -f {new} | cut -d " " -f 1,2)" = {shlex.quote(public)} ]'
    return "\n".join(
        (
            f"{check} || {{ echo 'the new host key came in part' >&2; exit 1; }}",
            f"echo {shlex.quote(public)} >{HOST_KEY}.pub.new",
            f"mv {new} {HOST_KEY}; mv {HOST_KEY}.pub.new {HOST_KEY}.pub",
            # a reload by systemd takes half a second longer
            "{ [ -s /run/sshd.pid ] && kill -HUP $(cat /run/sshd.pid); } || systemctl reload ssh || systemctl reload sshd",
        )
    )


def write(path: str, text: str, *, expand: bool = False) -> str:
    """A shell line that writes a file; `$name` in it is replaced where `expand`."""
    mark = "END" if expand else "'END'"
    return f"cat >{path} <<{mark}\n{text}END"
