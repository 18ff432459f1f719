"""Where the source of runs came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("run") as run:
        run.add_column(sa.Column("git", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("run") as run:
        run.drop_column("git")
