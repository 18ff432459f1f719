"""Secrets in the database. `domain.repositories` says what each call does."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from dstack_cloud import errors
from dstack_cloud.db.rows import SECRETS
from dstack_cloud.db.tables import SECRET
from dstack_cloud.db.transactions import Transactions
from dstack_cloud.domain.secrets import Secret


class SqlSecrets:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, secret: Secret) -> None:
        """Raises Conflict where the project has one of that name."""
        try:
            with self._transactions.writing() as connection, connection.begin_nested():
                connection.execute(insert(SECRET), SECRETS.write(secret))
        except IntegrityError as error:
            raise errors.Conflict(
                f"the project has a secret {secret.name} already", f"`dstack secrets update {secret.name}` changes it"
            ) from error

    def of_project(self, project: str) -> list[Secret]:
        statement = select(*SECRETS.columns).where(SECRET.c.project == project).order_by(SECRET.c.name)
        with self._transactions.reading() as connection:
            return [SECRETS.read(row) for row in connection.execute(statement)]

    def update(self, secret: Secret) -> bool:
        wanted = (SECRET.c.project == secret.project, SECRET.c.name == secret.name)
        with self._transactions.writing() as connection:
            return connection.execute(update(SECRET).where(*wanted).values(SECRETS.write(secret))).rowcount > 0

    def delete(self, project: str, name: str) -> bool:
        wanted = (SECRET.c.project == project, SECRET.c.name == name)
        with self._transactions.writing() as connection:
            return connection.execute(delete(SECRET).where(*wanted)).rowcount > 0
