"""Credentials for Git remotes in the database. `domain.repositories` says what each call does."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from dstack_cloud.db.rows import CREDENTIALS
from dstack_cloud.db.tables import CREDENTIAL
from dstack_cloud.db.transactions import Transactions
from dstack_cloud.domain.git import Credential


class SqlCredentials:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def put(self, credential: Credential) -> None:
        with self._transactions.transaction(), self._transactions.writing() as connection:
            self.delete(credential.project, credential.remote)
            connection.execute(insert(CREDENTIAL), CREDENTIALS.write(credential))

    def of_project(self, project: str) -> list[Credential]:
        chosen = CREDENTIAL.c.project == project
        statement = select(*CREDENTIALS.columns).where(chosen).order_by(CREDENTIAL.c.remote)
        with self._transactions.reading() as connection:
            return [CREDENTIALS.read(row) for row in connection.execute(statement)]

    def delete(self, project: str, remote: str) -> bool:
        wanted = (CREDENTIAL.c.project == project, CREDENTIAL.c.remote == remote)
        with self._transactions.writing() as connection:
            return connection.execute(delete(CREDENTIAL).where(*wanted)).rowcount > 0
