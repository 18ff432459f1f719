"""Jobs of several nodes, and the addresses at which these reach each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("node", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("instance") as instance:
        instance.add_column(sa.Column("address", sa.String(), server_default="", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("instance") as instance:
        instance.drop_column("address")
    with op.batch_alter_table("job") as job:
        job.drop_column("node")
