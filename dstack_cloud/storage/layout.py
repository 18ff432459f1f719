"""Where every object lies. No other module spells a key.

code/<sha256>.tar.zst                               a snapshot of a working folder
runs/<run>/<job>/attempts/<n>/status.json           the runner's last state, whole
runs/<run>/<job>/attempts/<n>/logs/<first byte>-<ms>.log    a chunk: its offset in the stream, and when its first byte came
runs/<run>/<job>/attempts/<n>/log_times.txt         "<offset> <ms>" lines, when the small chunks have been joined
runs/<run>/<job>/attempts/<n>/artifacts/<path>      plain objects a person can browse: what the attempt left at its end
runs/<run>/<job>/attempts/<n>/saves/<save>/<path>   the same of a save while the job was running, which has a name of its own
runs/<run>/<job>/manifests/<n>.json                 what counts; the highest n holds
cache/<workflow>/<key>.tar.zst                      one cache path, packed
cache/<workflow>/setup-<key>.tar.zst                what a setup made, packed
status/<attempt>/<sequence>-<state>                 the state is in the key
checks/<token>                                      is there for a moment, while somebody looks whether the store can be used

No object that a manifest names is ever written again: a save while the job runs writes under a new name, the attempt's last one
to artifacts/, where nothing was before it. So a save that breaks off anywhere leaves what the newest manifest names untouched.
When the job is over, everything that its last manifest names is brought together in artifacts/ of the last attempt, and the
rest is removed (`published.settle`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

CHECKS = "checks/"
_SETUP = "setup-"


def check(token: str) -> str:
    return f"{CHECKS}{token}"


def code(sha256: str) -> str:
    return f"code/{sha256}.tar.zst"


def run_prefix(run: str) -> str:
    return f"runs/{run}/"


def cache_prefix(workflow: str = "") -> str:
    """All caches of a workflow, or of all where it is empty."""
    return f"cache/{workflow}/" if workflow else "cache/"


def cache(workflow: str, path: str) -> str:
    return f"cache/{workflow}/{hashlib.sha256(path.encode()).hexdigest()[:16]}.tar.zst"


def setup(workflow: str, key: str) -> str:
    return f"cache/{workflow}/{_SETUP}{key}.tar.zst"


def is_setup(key: str) -> bool:
    """Of the keys of caches."""
    return key.rpartition("/")[2].startswith(_SETUP)


def read_setup(key: str) -> str:
    """What a setup's key in the store says that it depends on."""
    return key.rpartition("/")[2].removeprefix(_SETUP).partition(".")[0]


def read_cache(key: str) -> str:
    """The workflow of a cache's key."""
    return key.removeprefix("cache/").rpartition("/")[0]


def statuses(attempt_key: str) -> str:
    return f"status/{attempt_key}/"


def status(attempt_key: str, sequence: int, state: str) -> str:
    return f"status/{attempt_key}/{sequence:010d}-{state}"


def read_status(key: str) -> tuple[int, str]:
    """(sequence, state) of a status key."""
    sequence, _, state = key.rsplit("/", 1)[1].partition("-")
    return int(sequence), state


@dataclass(frozen=True)
class JobPlace:
    run: str
    job: str

    @property
    def prefix(self) -> str:
        return f"runs/{self.run}/{self.job}/"

    @property
    def manifests(self) -> str:
        return f"{self.prefix}manifests/"

    @property
    def attempts(self) -> str:
        return f"{self.prefix}attempts/"

    def is_output(self, key: str) -> bool:
        """Whether it is an object of a file that some attempt left, of those below `attempts`."""
        return key.removeprefix(self.attempts).split("/", 2)[1] in ("artifacts", "saves")

    def manifest(self, number: int) -> str:
        return f"{self.manifests}{number:06d}.json"


@dataclass(frozen=True)
class AttemptPlace:
    run: str
    job: str
    attempt: int

    @property
    def prefix(self) -> str:
        return f"runs/{self.run}/{self.job}/attempts/{self.attempt}/"

    @property
    def status(self) -> str:
        return f"{self.prefix}status.json"

    @property
    def logs(self) -> str:
        return f"{self.prefix}logs/"

    @property
    def log_times(self) -> str:
        return f"{self.prefix}log_times.txt"

    @property
    def artifacts(self) -> str:
        return f"{self.prefix}artifacts/"

    def log_chunk(self, first_byte: int, milliseconds: int) -> str:
        return f"{self.logs}{first_byte:016d}-{milliseconds:013d}.log"

    def artifact(self, path: str, save: str = "") -> str:
        """`save`: the name of the save while the job was running; "": the attempt's last one."""
        return f"{self.prefix}saves/{save}/{path}" if save else f"{self.artifacts}{path}"


def read_manifest(key: str) -> int:
    """The number of a manifest's key."""
    return int(key.rsplit("/", 1)[1].removesuffix(".json"))


def read_log_chunk(key: str) -> tuple[int, int]:
    """(first byte, milliseconds since the epoch) of a log chunk's key."""
    first, _, milliseconds = key.rsplit("/", 1)[1].removesuffix(".log").partition("-")
    return int(first), int(milliseconds)
