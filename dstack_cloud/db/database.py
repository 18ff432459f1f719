"""The whole database: opened once a server, used by all its threads."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Engine, Select, select

from dstack_cloud.db import versions
from dstack_cloud.db.credentials import SqlCredentials
from dstack_cloud.db.engine import make_engine
from dstack_cloud.db.repositories import SqlInstances, SqlJobs, SqlResults, SqlRuns
from dstack_cloud.db.secrets import SqlSecrets
from dstack_cloud.db.tables import INSTANCE, JOB
from dstack_cloud.db.transactions import Transactions


class SqlDatabase:
    """Satisfies `domain.repositories.Database`. Raises ServerError where the database itself fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._transactions = Transactions(engine)
        self._runs = SqlRuns(self._transactions)
        self._jobs = SqlJobs(self._transactions)
        self._results = SqlResults(self._transactions)
        self._instances = SqlInstances(self._transactions)
        self._secrets = SqlSecrets(self._transactions)
        self._credentials = SqlCredentials(self._transactions)
        self._next_due = _next_due()

    @property
    def runs(self) -> SqlRuns:
        return self._runs

    @property
    def jobs(self) -> SqlJobs:
        return self._jobs

    @property
    def results(self) -> SqlResults:
        return self._results

    @property
    def instances(self) -> SqlInstances:
        return self._instances

    @property
    def secrets(self) -> SqlSecrets:
        return self._secrets

    @property
    def credentials(self) -> SqlCredentials:
        return self._credentials

    def transaction(self) -> AbstractContextManager[None]:
        return self._transactions.transaction()

    def next_due(self) -> float | None:
        """The earliest time at which `claim` may find something: a row that nobody holds is due, or a lease runs out."""
        with self._transactions.reading() as connection:
            times = connection.execute(self._next_due).one()
        return min((time for time in times if time is not None), default=None)

    def forget_leases(self) -> int:
        """For a server that knows it is the only one on this database, when it starts: what a killed one held is
        taken up at once instead of when its leases run out. How many rows they were."""
        return self._jobs.forget_leases() + self._instances.forget_leases()

    def close(self) -> None:
        self._engine.dispose()


def _next_due() -> Select[Any]:
    """Four look-ups, each the first entry of an index."""
    times = []
    for table in (JOB, INSTANCE):
        due, expires = table.c.next_check_at, table.c.lease_expires_at
        free = select(due).where(due.is_not(None), expires.is_(None)).order_by(due).limit(1)
        held = select(expires).where(expires.is_not(None)).order_by(expires).limit(1)
        times += [free.scalar_subquery(), held.scalar_subquery()]
    return select(*times)


def open_database(url: str) -> SqlDatabase:
    """`sqlite:////path/to/file` (its folder must exist) or `postgresql://…`; brings the tables up to date.

    Raises ConfigurationError: the URL is wrong, the file can't be opened, or a newer dstack made it; ServerError: the
    database doesn't answer.
    """
    engine = make_engine(url)
    try:
        versions.bring_up_to_date(engine)
    except BaseException:
        engine.dispose()
        raise
    return SqlDatabase(engine)
