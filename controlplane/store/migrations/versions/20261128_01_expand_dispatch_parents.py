"""
Adds the parent to dispatches, so that a parent's slot in a limit can pass to its children.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Indexes on large tables: concurrently, in an autocommit block.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dispatches", sa.Column("parent_id", sa.Uuid(), nullable=True))
    # Rows that the previous release enqueues meanwhile have no parent and take slots of their own.
    op.execute(
        "UPDATE dispatches d SET parent_id = a.parent_id FROM actions a"
        " WHERE a.org = d.org AND a.id = d.action_id AND a.parent_id IS NOT NULL"
    )
    # Not concurrently: the table has only unfinished actions, so that indexing it is quick.
    op.create_index(
        "dispatches_children",
        "dispatches",
        ["org", "parent_id", "lease_id", "queue", "available_at"],
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("dispatches_children", "dispatches")
    op.drop_column("dispatches", "parent_id")
