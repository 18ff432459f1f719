"""Between rows and the dataclasses of `domain.runs`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, Table

from dstack_cloud.db.tables import CREDENTIAL, INSTANCE, JOB, RUN, SECRET
from dstack_cloud.domain.git import Credential, GitState
from dstack_cloud.domain.jobs import JobSpec
from dstack_cloud.domain.resources import Offer
from dstack_cloud.domain.runs import CodeRef, Instance, Job, Need, Run
from dstack_cloud.domain.secrets import Secret
from dstack_cloud.domain.states import Ending, InstanceStatus, JobStatus

T = TypeVar("T")
Convert = Callable[[Any], Any]


class Form(Generic[T]):
    """A table and its dataclass: every field is a column of that name."""

    def __init__(self, kind: type[T], table: Table, read: Mapping[str, Convert], write: Mapping[str, Convert]) -> None:
        self._make: Callable[..., T] = kind
        self.table = table
        names = list(inspect.signature(kind).parameters)
        self.columns = [table.c[name] for name in names]
        self._read = [(names.index(name), convert) for name, convert in read.items()]
        self._write = write

    def read(self, row: Row[Any] | Sequence[Any]) -> T:
        """From a row of `columns`."""
        values = list(row)
        for index, convert in self._read:
            values[index] = convert(values[index])
        return self._make(*values)

    def write(self, value: T) -> dict[str, Any]:
        convert = self._write
        return {
            column.name: convert[column.name](getattr(value, column.name))
            if column.name in convert
            else getattr(value, column.name)
            for column in self.columns
        }


def _read_code(value: dict[str, Any] | None) -> CodeRef | None:
    return None if value is None else CodeRef(**value)


def _write_code(code: CodeRef | None) -> dict[str, Any] | None:
    return None if code is None else asdict(code)


def _read_git(value: dict[str, Any] | None) -> GitState | None:
    return None if value is None else GitState(**value)


def _write_git(state: GitState | None) -> dict[str, Any] | None:
    return None if state is None else asdict(state)


def _read_needs(values: list[dict[str, Any]]) -> tuple[Need, ...]:
    return tuple(Need(**{**value, "paths": tuple(value["paths"])}) for value in values)


def _write_needs(needs: Sequence[Need]) -> list[dict[str, Any]]:
    return [asdict(need) for need in needs]


def _plain(model: JobSpec | Offer) -> dict[str, Any]:
    return model.model_dump(mode="json")


RUNS = Form(
    Run,
    RUN,
    read={"code": _read_code, "args": tuple, "git": _read_git},
    write={"code": _write_code, "args": list, "variables": dict, "git": _write_git},
)
JOBS = Form(
    Job,
    JOB,
    read={"code": _read_code, "spec": JobSpec.model_validate, "status": JobStatus, "needs": _read_needs},
    write={"code": _write_code, "spec": _plain, "status": str, "needs": _write_needs},
)
INSTANCES = Form(
    Instance,
    INSTANCE,
    read={"offer": Offer.model_validate, "status": InstanceStatus, "ending": Ending},
    write={"offer": _plain, "status": str, "ending": str},
)
SECRETS = Form(Secret, SECRET, read={}, write={})
CREDENTIALS = Form(Credential, CREDENTIAL, read={}, write={})
