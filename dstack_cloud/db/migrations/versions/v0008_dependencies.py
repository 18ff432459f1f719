"""Jobs that need each other, fingerprints to use one again, and runs by their tag."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("needs", sa.JSON(), server_default="[]", nullable=False))
        job.add_column(sa.Column("fingerprint", sa.String(), server_default="", nullable=False))
        job.add_column(sa.Column("parts", sa.JSON(), server_default="{}", nullable=False))
        job.create_index("ix_job_project_name", ["project", "name"])
        job.create_index("ix_job_fingerprint", ["fingerprint"])
    op.create_index("ix_run_project_tag", "run", ["project", "tag"])


def downgrade() -> None:
    op.drop_index("ix_run_project_tag", "run")
    with op.batch_alter_table("job") as job:
        job.drop_index("ix_job_fingerprint")
        job.drop_index("ix_job_project_name")
        for name in ("parts", "fingerprint", "needs"):
            job.drop_column(name)
