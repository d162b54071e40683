"""
Adds the state of runs that people set: archived, and held against deletion.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. That release lists archived runs like others, and purges runs that are held: hold
none until every replica runs this one.

Revision: 0063, after 0062.
"""

import sqlalchemy as sa
from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    for name in ("archived_by", "held_by", "hold_reason"):
        op.add_column("runs", sa.Column(name, sa.Text(), nullable=True))


def downgrade() -> None:
    for name in ("hold_reason", "held_by", "archived_by", "archived_at"):
        op.drop_column("runs", name)
