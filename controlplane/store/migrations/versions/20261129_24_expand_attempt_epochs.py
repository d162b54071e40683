"""
Adds the epoch of the cluster's session that got an attempt's lease.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0037, after 0036.
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempts ADD COLUMN epoch bigint DEFAULT '0' NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE attempts DROP COLUMN epoch")
