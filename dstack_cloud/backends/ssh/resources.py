"""The shell scripts that keep a machine's leases. Pure: each is a text for `sh -s`, its values are quoted.

A lease is a folder made under a lock on the machine itself, so that two servers can't give away the same place twice; its name
is the launch's key. In it: `owner` (the installation), `gpus` (indices, comma-separated), `boot` (which of the machine's it was),
and later the runner.
"""

from __future__ import annotations

import shlex

from dstack_cloud.backends.ssh.config import SshConfig
from dstack_cloud.backends.ssh.errors import BUSY, NO_GPU


def _as_root(script: str) -> str:
    """Runs it as root where that can be had without a password, else as the user."""
    quoted = shlex.quote(script)
    return (
        f'if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then exec sudo -n sh -c {quoted}; '
        f"else exec sh -c {quoted}; fi"
    )


def _base(config: SshConfig) -> str:
    root, private = shlex.quote(config.folder), shlex.quote(config.private_folder)
    return f'if [ "$(id -u)" = 0 ]; then base={root}; else base="$HOME"/{private}; fi'


LIVE, DEAD = "+", "-"
# a machine that is itself a container keeps its host's identity, but not its first process. Without root no unit brings a
# runner back, and its number may be another process's by now
RESTARTED = """
now="$(cat /proc/sys/kernel/random/boot_id) $(sed 's/.*) //' /proc/1/stat | cut -d ' ' -f 20)"
restarted() { [ "$(id -u)" != 0 ] && [ -f "$1/boot" ] && [ "$(cat "$1/boot")" != "$now" ]; }
"""


# what a container wrote as root, of a runner that is no longer there to see to it
TAKE_BACK = """
if [ "$(id -u)" != 0 ] && [ -n "$(find "$lease" ! -user "$(id -u)" | head -n 1)" ]; then
  image=$(sed -n 's/.*"image": *"\\([^"]*\\)".*/\\1/p' "$lease/state.json" | head -n 1)
  docker run --rm --pull never --network none --user 0 --entrypoint chown -v "$lease:/lease" "$image" \\
    -hR "$(id -u):$(id -g)" /lease >/dev/null || true
fi
"""


def acquire(config: SshConfig, key: str, installation: str, *, slots: int, gpus: int, all_gpus: int) -> str:
    """Prints the lease's folder. The same key is the same lease; exit codes BUSY and NO_GPU."""
    return _as_root(f"""
set -eu
{_base(config)}
{RESTARTED}
umask 077
mkdir -p "$base"
exec 9>"$base/.lock"
flock 9
lease="$base"/{shlex.quote(key)}
if [ -f "$lease/owner" ]; then echo "$lease"; exit 0; fi
count=0; used=,
for other in "$base"/*/owner; do
  [ -f "$other" ] || continue
  count=$((count + 1)); used="$used$(cat "${{other%/owner}}/gpus"),"; names="${{names:-}} $(basename "${{other%/owner}}")"
done
if [ $count -ge {slots} ]; then echo "it runs$names" >&2; exit {BUSY}; fi
free=; index=0; left={gpus}
while [ $index -lt {all_gpus} ] && [ $left -gt 0 ]; do
  case "$used" in *,$index,*) ;; *) free="$free${{free:+,}}$index"; left=$((left - 1)) ;; esac
  index=$((index + 1))
done
if [ $left -gt 0 ]; then echo "it runs${{names:-}}" >&2; exit {NO_GPU}; fi
mkdir -p "$lease"
printf %s "$free" >"$lease/gpus"
printf %s "$now" >"$lease/boot"
printf %s {shlex.quote(installation)} >"$lease/owner"
echo "$lease"
""")


def leases(config: SshConfig, installation: str) -> str:
    """Prints the folder of each lease of this installation, after LIVE or DEAD: the machine was restarted, and nothing of it
    came back."""
    return _as_root(f"""
{_base(config)}
{RESTARTED}
for owner in "$base"/*/owner; do
  [ -f "$owner" ] && [ "$(cat "$owner")" = {shlex.quote(installation)} ] || continue
  if restarted "${{owner%/owner}}"; then echo "{DEAD}${{owner%/owner}}"; else echo "{LIVE}${{owner%/owner}}"; fi
done
""")


def release(config: SshConfig, key: str) -> str:
    """Ends the runner with all it started, and gives the place back. No lease is no error."""
    name = shlex.quote(key)
    return _as_root(f"""
{_base(config)}
{RESTARTED}
lease="$base"/{name}
[ -d "$lease" ] || exit 0
if [ -x "$lease/end" ] && ! restarted "$lease"; then "$lease/end" || true; fi
if command -v docker >/dev/null; then
  for container in $(for of in attempt packing; do docker ps -aq --filter label=dstack.$of={name}; done 2>/dev/null); do
    docker rm -f "$container" >/dev/null 2>&1 || true
  done
fi
{TAKE_BACK}
rm -rf "$lease"
[ ! -d "$lease" ] || {{ echo "its folder $lease can't be removed" >&2; exit 1; }}
""")
