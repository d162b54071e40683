"""
Adds the highest epoch of an org's deleted clusters, from which new clusters begin to count.

This revision runs while the previous release still serves: add; do not change or remove what that
release uses. That release deletes no clusters.

Revision: 0055, after 0054.
"""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "orgs",
        sa.Column("deleted_cluster_epoch", sa.BigInteger(), server_default="0", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("orgs", "deleted_cluster_epoch")
