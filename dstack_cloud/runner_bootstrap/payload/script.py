"""The shell texts that run a job's commands."""

from __future__ import annotations

from collections.abc import Sequence

# Runs the job in a process group that it shares, and stays to write down how it ended: the runner may be restarted meanwhile.
# `read` waits until the runner has recorded the process (an end of file instead means that it died: nothing is started).
# It survives SIGTERM, which its children get as well; its own messages ("Terminated") aren't the job's: fd 2 goes to /dev/null.
KEEPER = """\
trap : TERM INT HUP
record=$1; shift
read -r go || exit 125
exec 3>&2 2>/dev/null
(exec "$@" </dev/null 2>&3 3>&-)
code=$?
echo $code >"$record.partial" && mv "$record.partial" "$record"
exit $code
"""

# In a container the first program's end is the end of all. A shell dies of SIGTERM at once while the program it runs still saves
# its work, so this stays until the others have gone (two remain: it and the container's init).
# One pipe for all output: the engine reads two side by side, and would mix up what was written in turn.
CONTAINER_KEEPER = """\
exec 2>&1
stop=; trap stop=1 TERM INT
if command -v bash >/dev/null 2>&1; then bash -c "$1"; else /bin/sh -c "$1"; fi
code=$?
while [ "$stop" ]; do set -- /proc/[0-9]*; [ $# -gt 2 ] || break; sleep 0.1; done
exit $code
"""


def joined(commands: Sequence[str]) -> str:
    """One script: each command runs after the one before succeeded, in the same shell, so that `cd` and `export` last.

    `set -e` alone lets a failed `a && b` pass; the line behind each command doesn't.
    """
    return "set -e\n" + "\n(exit $?)\n".join(commands) + "\n"
