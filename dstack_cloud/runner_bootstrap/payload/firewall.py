"""Closes the cloud's metadata service to containers: it hands out the machine's own credentials."""

from __future__ import annotations

import subprocess
from pathlib import Path

# TCP 80 only: at the same IPv4 address Google's name server answers on port 53.
# By the address that the connection was opened to, which holds also where it is led elsewhere before this rule sees it.
SERVICES = {"iptables": "169.254.169.254", "ip6tables": "fd00:ec2::254"}
CHAINS = (
    "DOCKER-USER",
    "FORWARD",
)  # the first is the engine's own place for such rules, and it always comes before the engine's
SECONDS = 30.0
MOST_RULES = 10
NO_GROUP = "the container has no control group of its own (cgroup v2)"


def rule(address: str) -> list[str]:
    """What comes after the chain's name."""
    opened_to = ["-m", "conntrack", "--ctorigdst", address, "--ctorigdstport", "80"]
    return ["-p", "tcp", *opened_to, "-j", "REJECT"]


def close_metadata() -> str:
    """Again is no error. Returns what stands in the way, "" where containers can't reach the service any more."""
    troubles = [_close(program, address) for program, address in SERVICES.items()]
    # a machine without IPv6 has nothing to close there
    return troubles[0] or ("" if "ip6" in troubles[1] and not _has_ipv6() else troubles[1])


class HostsNetwork:
    """For a container on the machine's own network, whose packets nothing forwards: it is known by its control group, which is there
    only once it has started. Until then nobody on the machine reaches the service: whoever else asks it asks again anyhow."""

    def shut(self) -> None:
        for program, address in SERVICES.items():
            _run([program, "-w", "-I", "OUTPUT", *rule(address)])

    def close(self, pid: int) -> str:
        """To the container with that first process alone. Returns what stands in the way, "" where it can't reach the service."""
        group = _control_group(pid)
        match = ["-m", "cgroup", "--path", group]
        troubles = {
            program: _run([program, "-w", "-I", "OUTPUT", *match, *rule(address)]) if group else NO_GROUP
            for program, address in SERVICES.items()
        }
        return troubles["iptables"] or (troubles["ip6tables"] if _has_ipv6() else "")

    def open(self) -> None:
        """To all others again; also what a runner left that was killed on the way."""
        for program, address in SERVICES.items():
            for _ in range(MOST_RULES):
                if _run([program, "-w", "-D", "OUTPUT", *rule(address)]):
                    break


def _control_group(pid: int) -> str:
    """Below the root of the unified hierarchy; "" where there is none."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return ""
    return next((line[4:] for line in lines if line.startswith("0::/") and len(line) > 4), "")


def _close(program: str, address: str) -> str:
    trouble = ""
    for chain in CHAINS:
        if not _run([program, "-w", "-C", chain, *rule(address)]):
            return ""
        trouble = _run([program, "-w", "-I", chain, *rule(address)])
        if not trouble:
            return ""
    return f"{program}: {trouble}"


def _has_ipv6() -> bool:
    try:
        with open("/proc/net/if_inet6") as addresses:  # noqa: PTH123 - one line is enough
            return bool(addresses.readline())
    except OSError:
        return False


def _run(command: list[str]) -> str:
    """ "" for success, else why not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
