"""The tables. Columns carry the names of the dataclasses' fields in `domain.runs`; what is added serves the queue.

`sequence` numbers rows in the order in which they were added. A queued row also has
- `lease_owner`, `lease_expires_at`: who works on it and until when, in seconds since the epoch;
- `woken_at`: when somebody last asked to look at it; a claim clears it, so that after a claim it says "woken since".
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, Index, MetaData, String, Table, false
from sqlmodel import Field, SQLModel

# names are searched by prefix, as a range of code points; PostgreSQL's default collation orders by language
_NAME = String().with_variant(String(collation="C"), "postgresql")

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(SQLModel):
    metadata: ClassVar[MetaData] = MetaData(naming_convention=_NAMING)


class Queued(Base):
    next_check_at: float | None = None
    version: int = 0
    lease_owner: str | None = None
    lease_expires_at: float | None = None
    woken_at: float | None = None


class RunRow(Base, table=True):
    __tablename__ = "run"
    __table_args__ = (
        Index(None, "project", "sequence"),
        Index(None, "project", "name", unique=True),
        Index(None, "project", "tag"),
    )

    sequence: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    project: str
    name: str = Field(sa_type=_NAME)
    workflow: str
    code: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    tag: str
    variables: dict[str, str] = Field(default_factory=dict, sa_type=JSON, sa_column_kwargs={"server_default": "{}"})
    args: list[str] = Field(sa_type=JSON)
    created_at: float
    git: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))


class JobRow(Queued, table=True):
    __tablename__ = "job"
    __table_args__ = (
        Index(None, "status"),
        Index(None, "next_check_at"),
        Index(None, "lease_expires_at", "next_check_at"),
        Index(None, "project", "name"),
        Index(None, "fingerprint"),
    )

    sequence: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    run_id: str = Field(foreign_key="run.id", ondelete="CASCADE", index=True)
    project: str
    run_name: str
    name: str
    spec: dict[str, Any] = Field(sa_type=JSON)
    code: dict[str, Any] | None = Field(default=None, sa_type=JSON(none_as_null=True))
    sealed: bytes
    status: str
    stop_request: str
    attempt: int
    instance_id: str
    exit_code: int | None = None
    reason: str
    message: str
    submitted_at: float
    started_at: float | None = None
    finished_at: float | None = None
    searching_since: float | None = None
    round: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    running_since: float | None = None
    ran: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    resumed_at: float | None = None
    clear: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    needs: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"})
    fingerprint: str = Field(default="", sa_column_kwargs={"server_default": ""})
    parts: dict[str, str] = Field(default_factory=dict, sa_type=JSON, sa_column_kwargs={"server_default": "{}"})
    node: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class InstanceRow(Queued, table=True):
    __tablename__ = "instance"
    __table_args__ = (
        Index(None, "status"),
        Index(None, "next_check_at"),
        Index(None, "lease_expires_at", "next_check_at"),
    )

    sequence: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    project: str
    job_id: str = Field(foreign_key="job.id", ondelete="CASCADE", index=True)
    run_name: str
    attempt: int
    offer: dict[str, Any] = Field(sa_type=JSON)
    status: str
    ref: str
    endpoint: str
    wrong: str
    created_at: float
    started_at: float | None = None
    deadline: float | None = None
    terminated_at: float | None = None
    round: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    scope: str = Field(default="", sa_column_kwargs={"server_default": ""})
    ending: str = Field(default="", sa_column_kwargs={"server_default": ""})
    absent_since: float | None = None
    end_asked_at: float | None = None
    address: str = Field(default="", sa_column_kwargs={"server_default": ""})


class SecretRow(Base, table=True):
    __tablename__ = "secret"

    project: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    sealed: bytes
    updated_at: float


class CredentialRow(Base, table=True):
    __tablename__ = "credential"

    project: str = Field(primary_key=True)
    remote: str = Field(primary_key=True)
    sealed: bytes
    updated_at: float


RUN: Table = Base.metadata.tables["run"]
JOB: Table = Base.metadata.tables["job"]
INSTANCE: Table = Base.metadata.tables["instance"]
SECRET: Table = Base.metadata.tables["secret"]
CREDENTIAL: Table = Base.metadata.tables["credential"]
