"""Runs, jobs and instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_run()
    _make_job()
    _make_instance()
    for table in ("job", "instance"):
        op.create_index(f"ix_{table}_status", table, ["status"])
        op.create_index(f"ix_{table}_next_check_at", table, ["next_check_at"])
        op.create_index(f"ix_{table}_lease_expires_at_next_check_at", table, ["lease_expires_at", "next_check_at"])


def downgrade() -> None:
    for table in ("instance", "job", "run"):
        op.drop_table(table)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=True)


def _keys(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("sequence", sa.Integer(), nullable=False),
        _text("id"),
        sa.PrimaryKeyConstraint("sequence", name=f"pk_{table}"),
        sa.UniqueConstraint("id", name=f"uq_{table}_id"),
    ]


def _queued() -> list[sa.schema.SchemaItem]:
    return [
        _time("next_check_at"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(), nullable=True),
        _time("lease_expires_at"),
        _time("woken_at"),
    ]


def _make_run() -> None:
    op.create_table(
        "run",
        *_keys("run"),
        _text("project"),
        sa.Column("name", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False),
        _text("workflow"),
        sa.Column("code", sa.JSON(), nullable=True),
        _text("tag"),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.create_index("ix_run_project_name", "run", ["project", "name"], unique=True)
    op.create_index("ix_run_project_sequence", "run", ["project", "sequence"])


def _make_job() -> None:
    op.create_table(
        "job",
        *_keys("job"),
        *_queued(),
        _text("run_id"),
        _text("project"),
        _text("run_name"),
        _text("name"),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("code", sa.JSON(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        _text("status"),
        _text("stop_request"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _text("instance_id"),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        _text("reason"),
        _text("message"),
        sa.Column("submitted_at", sa.Float(), nullable=False),
        _time("started_at"),
        _time("finished_at"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_job_run_id", ondelete="CASCADE"),
    )
    op.create_index("ix_job_run_id", "job", ["run_id"])


def _make_instance() -> None:
    op.create_table(
        "instance",
        *_keys("instance"),
        *_queued(),
        _text("project"),
        _text("job_id"),
        _text("run_name"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("offer", sa.JSON(), nullable=False),
        _text("status"),
        _text("ref"),
        _text("endpoint"),
        _text("wrong"),
        sa.Column("created_at", sa.Float(), nullable=False),
        _time("started_at"),
        _time("deadline"),
        _time("terminated_at"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_instance_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_instance_job_id", "instance", ["job_id"])
