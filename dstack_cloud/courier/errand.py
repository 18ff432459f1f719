"""What a carrier is sent for, and which store it carries to: all that it knows of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dstack_cloud.storage.layout import AttemptPlace, JobPlace

CODE_INPUT = "code"
ARTIFACTS = "artifacts"
CACHES = "cache-"


def cache_name(index: int) -> str:
    return f"{CACHES}{index}"


def deps_name(index: int) -> str:
    return f"deps-{index}"


@dataclass(frozen=True)
class Errand:
    """One attempt at one job. `code` is the snapshot's SHA-256, `caches` are paths as the job sees them, `deps` the jobs whose
    artifacts it is given.

    `restore`: the input `artifacts` is sent, from the job's newest manifest. `sync`: seconds between two saves of the
    artifacts while the job runs; None: they are saved at its end only. `keeps_caches`: they are saved, not only restored.
    """

    attempt_id: str
    run: str
    job: str
    attempt: int
    workflow: str
    code: str | None = None
    caches: tuple[str, ...] = ()
    deps: tuple[JobPlace, ...] = ()
    restore: bool = False
    sync: float | None = None
    keeps_caches: bool = True

    @property
    def place(self) -> AttemptPlace:
        return AttemptPlace(self.run, self.job, self.attempt)

    @property
    def job_place(self) -> JobPlace:
        return JobPlace(self.run, self.job)

    @property
    def inputs(self) -> list[str]:
        """Names of what the runner is sent, each behind all that it may have to wait for there."""
        names = [CODE_INPUT] if self.code else []
        names += [cache_name(index) for index in range(len(self.caches))]
        names += [deps_name(index) for index in range(len(self.deps))]
        return [*names, ARTIFACTS] if self.restore else names

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(raw: bytes) -> Errand:
        values = json.loads(raw)
        deps = tuple(JobPlace(**place) for place in values["deps"])
        return Errand(**{**values, "caches": tuple(values["caches"]), "deps": deps})


@dataclass(frozen=True)
class MachineStore:
    """A store as a machine reaches it. `options` aren't secret; `credentials` (obstore's names) are: None where the machine's
    own identity opens it."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] | None = field(default=None, repr=False)

    def place_json(self) -> bytes:
        """Without the credentials."""
        return json.dumps(
            {"url": self.url, "options": dict(self.options), "lent": self.credentials is not None}
        ).encode()

    def credentials_json(self) -> bytes:
        values: dict[str, Any] = dict(self.credentials or {})
        return json.dumps(values).encode()
