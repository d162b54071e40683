"""
Adds to orgs how far their deletion has come.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Replicas of that release go on accepting the credentials of deleted orgs.

Revision: 0038, after 0037.
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_TIMES = ("deleted_at", "agents_until", "erase_at", "erasing_since", "erased_at")


def upgrade() -> None:
    for name in _TIMES:
        op.add_column("orgs", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column("orgs", sa.Column("deleted_by", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    for name in (*_TIMES, "deleted_by"):
        op.drop_column("orgs", name)
