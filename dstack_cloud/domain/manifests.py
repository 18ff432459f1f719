"""What counts of a job's outputs: a complete list, so that readers see a whole set or none."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["file", "dir", "link"]


@dataclass(frozen=True)
class Entry:
    """`path` as the job sees it: relative to its working folder, or `~/…`. `size` is bytes, `mode` permission bits,
    `modified_at` the machine's clock, `target` a link's. `attempt` and `save` say which object it is (see storage.layout).
    Bytes of a name that aren't UTF-8 are surrogates (PEP 383)."""

    path: str
    kind: Kind
    mode: int
    modified_at: float = 0.0
    size: int = 0
    sha256: str = ""
    target: str = ""
    attempt: int = 1
    save: str = ""


@dataclass(frozen=True)
class Manifest:
    """`attempt` made it; entries are sorted by path, so a folder comes before what is in it. Not `complete`: saved while the
    job was running, or what could be saved of a job that was interrupted."""

    run: str
    job: str
    attempt: int
    entries: tuple[Entry, ...] = ()
    complete: bool = True

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def files(self) -> int:
        return sum(entry.kind == "file" for entry in self.entries)

    @property
    def content(self) -> str:
        """The same for the same files, whoever saved them and when."""
        lines = sorted((entry.path, entry.kind, entry.mode, entry.sha256, entry.target) for entry in self.entries)
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()

    def below(self, prefix: str = "") -> list[Entry]:
        """`prefix` itself and all that is in it; everything where it is empty."""
        prefix = prefix.rstrip("/")
        if not prefix:
            return list(self.entries)
        return [entry for entry in self.entries if entry.path == prefix or entry.path.startswith(f"{prefix}/")]

    def to_json(self) -> bytes:
        """One entry a line; what has its default is left out."""
        head: dict[str, Any] = {"version": 1, "run": self.run, "job": self.job, "attempt": self.attempt}
        if not self.complete:
            head["complete"] = False
        lines = ",\n".join(json.dumps(_compact(entry, self.attempt)) for entry in self.entries)
        return f'{json.dumps(head)[:-1]}, "entries": [\n{lines}\n]}}\n'.encode()

    @classmethod
    def from_json(cls, raw: bytes) -> Manifest:
        data = json.loads(raw)
        attempt = data["attempt"]
        entries = tuple(Entry(**{"attempt": attempt, **entry}) for entry in data["entries"])
        return cls(data["run"], data["job"], attempt, entries, data.get("complete", True))


_DEFAULTS = asdict(Entry("", "file", -1))


def _compact(entry: Entry, attempt: int) -> dict[str, Any]:
    values = vars(entry)
    kept = {name: value for name, value in values.items() if value != _DEFAULTS[name] or name in ("path", "kind")}
    if entry.attempt == attempt:
        kept.pop("attempt", None)
    else:
        kept["attempt"] = entry.attempt
    return kept
