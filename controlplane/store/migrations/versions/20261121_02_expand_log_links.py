"""
Adds log links: addresses of an attempt's log in external log stores.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Indexes on large tables: concurrently, in an autocommit block.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "attempts",
        sa.Column("log_links", postgresql.JSONB(), server_default="[]", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("attempts", "log_links")
