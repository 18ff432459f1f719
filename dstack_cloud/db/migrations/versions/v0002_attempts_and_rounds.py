"""Attempts that follow one another, and rounds of offers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("searching_since", sa.Float(), nullable=True))
        job.add_column(sa.Column("round", sa.Integer(), server_default="0", nullable=False))
        job.add_column(sa.Column("running_since", sa.Float(), nullable=True))
        job.add_column(sa.Column("ran", sa.Float(), server_default="0", nullable=False))
    with op.batch_alter_table("instance") as instance:
        instance.add_column(sa.Column("round", sa.Integer(), server_default="0", nullable=False))
        instance.add_column(sa.Column("scope", sa.String(), server_default="", nullable=False))
        instance.add_column(sa.Column("ending", sa.String(), server_default="", nullable=False))
        instance.add_column(sa.Column("absent_since", sa.Float(), nullable=True))
        instance.add_column(sa.Column("end_asked_at", sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("instance") as instance:
        for name in ("end_asked_at", "absent_since", "ending", "scope", "round"):
            instance.drop_column(name)
    with op.batch_alter_table("job") as job:
        for name in ("ran", "running_since", "round", "searching_since"):
            job.drop_column(name)
