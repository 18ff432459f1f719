"""Rows as a queue: due ones are claimed under a lease, worked on outside any transaction, and saved if nobody else did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from sqlalchemy import Float, Integer, String, bindparam, case, insert, null, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.sql.elements import ColumnElement

from dstack_cloud.db.rows import Form
from dstack_cloud.db.transactions import Transactions
from dstack_cloud.domain.repositories import Stale
from dstack_cloud.domain.runs import Instance, Job

Q = TypeVar("Q", Job, Instance)

# SQLite takes 32,766 parameters in a statement, PostgreSQL's protocol 65,535
_IDS_AT_ONCE = 5_000


class Queue(Generic[Q]):
    """What jobs and instances have in common. A fake satisfies `domain.repositories` instead."""

    def __init__(self, transactions: Transactions, form: Form[Q]) -> None:
        self._transactions = transactions
        self._form: Form[Q] = form
        self._table = form.table
        self._select = select(*form.columns)
        self._claim = _claim(form)
        self._save = _save(form)
        self._save_and_release = self._save.values(lease_owner=null(), lease_expires_at=null())
        # which leases this process took, so that a worker whose save came too late doesn't keep its row locked
        self._leases: dict[str, float] = {}

    def add(self, value: Q) -> None:
        with self._transactions.writing() as connection:
            connection.execute(insert(self._table), self._form.write(value))

    def get(self, row_id: str) -> Q | None:
        found = self._find(self._table.c.id == row_id)
        return found[0] if found else None

    def claim(self, owner: str, *, now: float, lease: float, limit: int) -> list[Q]:
        """Due rows that nobody holds, the longest due first."""
        if limit <= 0:
            return []
        expires = now + lease
        values = {"b_now": now, "b_owner": owner, "b_expires": expires, "b_limit": limit}
        with self._transactions.writing() as connection:
            rows = connection.execute(self._claim, values).all()
        claimed = sorted(
            (self._form.read(row) for row in rows), key=lambda value: (value.next_check_at or 0.0, value.id)
        )
        self._leases.update((value.id, expires) for value in claimed)
        return claimed

    def save(self, value: Q, *, release: bool = True) -> Q:
        """See `domain.repositories`. The answer's `next_check_at` is what holds: earlier than asked where it was woken
        since the claim. A lease of this process is given back even where the save is refused."""
        lease = self._leases.pop(value.id, None) if release else None
        statement = self._save_and_release if release else self._save
        with self._transactions.writing() as connection:
            row = connection.execute(statement, _values(self._form, value)).first()
        if row is None:
            if lease is not None:
                expires = lease
                self._transactions.afterwards(lambda: self._give_back(value.id, expires))
            raise Stale(f"{value.id} has changed since version {value.version}", value.id)
        return replace(value, version=value.version + 1, next_check_at=row[0])

    def wake(self, row_id: str, *, now: float) -> None:
        statement = update(self._table).where(self._table.c.id == row_id)
        with self._transactions.writing() as connection:
            connection.execute(statement.values(next_check_at=now, woken_at=now))

    def forget_leases(self) -> int:
        """Makes all held rows claimable; how many they were."""
        table = self._table
        statement = update(table).where(table.c.lease_expires_at.is_not(None))
        with self._transactions.writing() as connection:
            return connection.execute(statement.values(lease_owner=null(), lease_expires_at=null())).rowcount

    def _give_back(self, row_id: str, expires: float) -> None:
        table = self._table
        statement = update(table).where(table.c.id == row_id, table.c.lease_expires_at == expires)
        with self._transactions.writing() as connection:
            connection.execute(statement.values(lease_owner=null(), lease_expires_at=null()))

    def _find(self, *where: ColumnElement[bool]) -> list[Q]:
        """In the order in which they were added."""
        statement = self._select.where(*where).order_by(self._table.c.sequence)
        with self._transactions.reading() as connection:
            return [self._form.read(row) for row in connection.execute(statement)]

    def _find_in(self, column: ColumnElement[Any], ids: Sequence[str]) -> list[Q]:
        found: list[Q] = []
        for some in at_once(ids):
            found += self._find(column.in_(some))
        return found


def at_once(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """In groups that one statement can take."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        yield ids[start : start + _IDS_AT_ONCE]


def _claim(form: Form[Q]) -> ReturningUpdate[Any]:
    """One statement. SKIP LOCKED (PostgreSQL) lets several servers claim side by side; a CTE with FOR UPDATE is never
    inlined there, so the limit holds. SQLite has one writer at a time and leaves the clause out."""
    table = form.table
    now = bindparam("b_now", type_=Float)
    due = (
        select(table.c.sequence)
        .where(table.c.next_check_at <= now, or_(table.c.lease_expires_at.is_(None), table.c.lease_expires_at <= now))
        .order_by(table.c.next_check_at, table.c.sequence)
        .limit(bindparam("b_limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    owner = bindparam("b_owner", type_=String)
    expires = bindparam("b_expires", type_=Float)
    return (
        update(table)
        .where(table.c.sequence.in_(select(due.c.sequence)))
        .values(lease_owner=owner, lease_expires_at=expires, woken_at=null())
        .returning(*form.columns)
    )


def _save(form: Form[Q]) -> ReturningUpdate[float | None]:
    """A row woken since its claim stays due, whatever its holder decided without knowing why it was woken."""
    table = form.table
    plain = [column for column in form.columns if column.name not in ("id", "version", "next_check_at")]
    due = case((table.c.woken_at.is_not(None), table.c.woken_at), else_=bindparam("b_next", type_=Float))
    return (
        update(table)
        .where(table.c.id == bindparam("b_id"), table.c.version == bindparam("b_version"))
        .values({column.name: bindparam(f"b_{column.name}", type_=column.type) for column in plain})
        .values(version=table.c.version + 1, next_check_at=due)
        .returning(table.c.next_check_at)
    )


def _values(form: Form[Q], value: Q) -> dict[str, Any]:
    values = form.write(value)
    return {"b_next" if name == "next_check_at" else f"b_{name}": values[name] for name in values}
