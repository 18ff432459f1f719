"""Runs, jobs and instances in the database. `domain.repositories` says what each call does."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from dstack_cloud import errors
from dstack_cloud.db.queue import Queue, at_once
from dstack_cloud.db.rows import INSTANCES, JOBS, RUNS
from dstack_cloud.db.tables import INSTANCE, JOB, RUN
from dstack_cloud.db.transactions import Transactions
from dstack_cloud.domain.runs import Instance, Job, Run
from dstack_cloud.domain.states import FINISHED, InstanceStatus, JobStatus

_UNFINISHED = [str(status) for status in JobStatus if status not in FINISHED]
_ALIVE = [str(status) for status in InstanceStatus if status.alive]
_LAST_CODE_POINT = "\U0010ffff"


class SqlRuns:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._select = select(*RUNS.columns)

    def add(self, run: Run) -> None:
        """Raises Conflict where the project has a run of that name."""
        try:
            # a savepoint: a surrounding transaction can go on after the conflict
            with self._transactions.writing() as connection, connection.begin_nested():
                connection.execute(insert(RUN), RUNS.write(run))
        except IntegrityError as error:
            raise errors.Conflict(f"there is a run {run.name!r} already", "choose another name") from error

    def get(self, project: str, name: str) -> Run | None:
        statement = self._select.where(RUN.c.project == project, RUN.c.name == name)
        with self._transactions.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else RUNS.read(row)

    def recent(self, project: str, *, limit: int) -> list[Run]:
        statement = self._select.where(RUN.c.project == project).order_by(RUN.c.sequence.desc()).limit(limit)
        with self._transactions.reading() as connection:
            return [RUNS.read(row) for row in connection.execute(statement)]

    def of_ids(self, run_ids: list[str]) -> list[Run]:
        statement = self._select.add_columns(RUN.c.sequence)
        found: list[Row[Any]] = []
        with self._transactions.reading() as connection:
            for some in at_once(run_ids):
                found += connection.execute(statement.where(RUN.c.id.in_(some))).all()
        return [RUNS.read(row[:-1]) for row in sorted(found, key=lambda row: row[-1], reverse=True)]

    def names(self, project: str, prefix: str) -> list[str]:
        """Sorted by code points."""
        beyond = prefix + _LAST_CODE_POINT
        statement = select(RUN.c.name).where(RUN.c.project == project, RUN.c.name >= prefix, RUN.c.name < beyond)
        with self._transactions.reading() as connection:
            return list(connection.execute(statement.order_by(RUN.c.name)).scalars())

    def tagged(self, project: str, tag: str = "") -> list[Run]:
        statement = self._select.where(RUN.c.project == project, RUN.c.tag == tag if tag else RUN.c.tag != "")
        with self._transactions.reading() as connection:
            return [RUNS.read(row) for row in connection.execute(statement.order_by(RUN.c.sequence.desc()))]

    def set_tag(self, run_id: str, tag: str) -> None:
        with self._transactions.writing() as connection:
            connection.execute(update(RUN).where(RUN.c.id == run_id).values(tag=tag))

    def delete(self, run_id: str) -> None:
        """Its jobs and their instances go by the foreign keys."""
        with self._transactions.writing() as connection:
            connection.execute(delete(RUN).where(RUN.c.id == run_id))


class SqlJobs(Queue[Job]):
    def __init__(self, transactions: Transactions) -> None:
        super().__init__(transactions, JOBS)

    def add(self, value: Job) -> None:
        """Raises Conflict where there is a job of that id, in whichever project."""
        try:
            # a savepoint: a surrounding transaction can go on after the conflict
            with self._transactions.writing() as connection, connection.begin_nested():
                connection.execute(insert(JOB), JOBS.write(value))
        except IntegrityError as error:
            if self.get(value.id) is None:
                raise
            raise errors.Conflict(f"there is a job {value.id!r} already", "choose another name") from error

    def of_runs(self, run_ids: list[str]) -> list[Job]:
        return self._find_in(JOB.c.run_id, run_ids)

    def unfinished(self, project: str | None = None) -> list[Job]:
        status = JOB.c.status.in_(_UNFINISHED)
        return self._find(status) if project is None else self._find(status, JOB.c.project == project)


class SqlResults:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._select = select(*JOBS.columns).where(JOB.c.status == str(JobStatus.DONE))

    def newest(self, project: str, names: list[str]) -> list[Job]:
        done = (JOB.c.project == project, JOB.c.status == str(JobStatus.DONE), JOB.c.node == 0)
        found: list[Job] = []
        for some in at_once(names):
            last = select(func.max(JOB.c.sequence)).where(*done, JOB.c.name.in_(some)).group_by(JOB.c.name)
            found += self._read(self._select.where(JOB.c.sequence.in_(last)))
        return found

    def alike(self, project: str, fingerprints: list[str]) -> list[Job]:
        found: list[Job] = []
        for some in at_once(fingerprints):
            found += self._read(self._select.where(JOB.c.project == project, JOB.c.fingerprint.in_(some)))
        return found

    def _read(self, statement: Select[Any]) -> list[Job]:
        with self._transactions.reading() as connection:
            return [JOBS.read(row) for row in connection.execute(statement.order_by(JOB.c.sequence.desc()))]


class SqlInstances(Queue[Instance]):
    def __init__(self, transactions: Transactions) -> None:
        super().__init__(transactions, INSTANCES)

    def of_jobs(self, job_ids: list[str]) -> list[Instance]:
        return self._find_in(INSTANCE.c.job_id, job_ids)

    def alive(self) -> list[Instance]:
        return self._find(INSTANCE.c.status.in_(_ALIVE))

    def forget_refused(self, job_id: str, *, keep: int) -> None:
        refused = (INSTANCE.c.job_id == job_id, INSTANCE.c.status == str(InstanceStatus.REFUSED))
        newest = select(INSTANCE.c.sequence).where(*refused).order_by(INSTANCE.c.sequence.desc()).limit(keep)
        with self._transactions.writing() as connection:
            connection.execute(delete(INSTANCE).where(*refused, INSTANCE.c.sequence.not_in(newest)))
