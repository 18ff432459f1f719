"""Shell functions that see to what a runner needs of a machine, and cost nothing where it is there. Pure.

Written for Debian 12, Ubuntu 22.04 and 24.04 (apt-get), and Amazon Linux 2023 (dnf). All that they have to say goes to the
standard error output. `FINAL` is the exit code of what asking again doesn't mend.
"""

from __future__ import annotations

FINAL = 78

# what the machine says of itself: the interpreter's version decides which wheels fit
PROBE = (
    "import json, os, sys; sys.version_info >= (3, 10) or sys.exit(1); "
    'libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else ""; '
    'print(json.dumps({"python": "%d.%d" % sys.version_info[:2], "machine": os.uname().machine, "libc": libc or ""}))'
)

REFUSE = f"""
refuse() {{ echo "$*" >&2; exit {FINAL}; }}
"""

# cloud-init's own packages and the first boot's updates hold the same locks: first come, first served
PACKAGES = """
packages() {
  [ "$(id -u)" = 0 ] || refuse "it lacks $*, and the user may not install packages: install them"
  if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null 2>&1 || true; fi
  if command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update >&2
    apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install -y --no-install-recommends "$@" >&2
  elif command -v dnf >/dev/null; then
    dnf install -y "$@" >&2
  else
    refuse "it has neither apt-get nor dnf to install $* with: use an image that has them"
  fi
}
"""

# sets `python` to the interpreter and `facts` to what it says of the machine
PYTHON = f"""
find_python() {{
  for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    python=$(command -v "$name") || continue
    facts=$("$python" -I -S -c '{PROBE}') && return 0
  done
  return 1
}}
need_python() {{
  find_python && return 0
  if command -v dnf >/dev/null; then packages python3.11; else packages python3; fi
  find_python || refuse "it has no Python 3.10 or newer, and its distribution has none: use a newer image"
}}
"""

# a socket that is there answers, or starts the engine when it is first used
ENGINE = """
need_engine() {
  [ -S /run/docker.sock ] || [ -S /var/run/docker.sock ] || [ -n "${DOCKER_HOST:-}" ] || make_engine
  if [ "$(id -u)" != 0 ] && [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
    refuse "the user may not use its Docker engine: add $(id -un) to the group docker"
  fi
}
make_engine() {
  if ! command -v dockerd >/dev/null; then
    # zstd: what a setup made comes packed
    if command -v dnf >/dev/null; then packages docker zstd; else packages docker.io zstd; fi
  fi
  [ "$(id -u)" = 0 ] || refuse "its Docker engine doesn't run: start it"
  systemctl enable --now docker >&2 || refuse "its Docker engine can't be started: $(systemctl is-active docker)"
}
"""

GPUS = """
need_gpus() {
  command -v nvidia-smi >/dev/null || refuse "it has no NVIDIA driver (nvidia-smi): use an image with one"
  command -v nvidia-ctk >/dev/null || command -v nvidia-container-runtime >/dev/null || make_toolkit
}
make_toolkit() {
  name=nvidia-container-toolkit
  if command -v apt-cache >/dev/null && [ -n "$(apt-cache policy $name 2>/dev/null | grep -v '(none)' | grep Candidate)" ] ||
    command -v dnf >/dev/null && dnf -q list $name >/dev/null 2>&1; then
    packages $name
    nvidia-ctk runtime configure --runtime=docker >&2
    systemctl restart docker
  else
    refuse "it has GPUs, but not NVIDIA's container toolkit, nor do its package sources: install $name on it or use an image with it"
  fi
}
"""


def functions(*, containers: bool, gpus: bool) -> str:
    """Their definitions, and the calls that a runner of such jobs needs. Afterwards `$python` and `$facts` are set."""
    calls = ["need_python"] + ["need_engine"] * containers + ["need_gpus"] * gpus
    parts = [REFUSE, PACKAGES, PYTHON] + [ENGINE] * containers + [GPUS] * gpus
    return "".join(parts).strip() + "\n" + "\n".join(calls)
