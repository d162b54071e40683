"""
Adds the task that a run is of, by which the latest run of each task is found.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Runs that the previous release creates have no task here, and are no task's
latest run until it has a later one.

Revision: 0043, after 0042.
"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("root_task", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("runs", "root_task")
