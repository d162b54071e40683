"""
Adds the envelopes of delivery configurations, and the project and domain of deliveries.

Delivery configurations that are stored in the clear are deleted: no release has stored any, and
their addresses and headers would stay readable. Deliveries that are there get no project, and are
listed for those who may read the whole org; they are kept for 30 days.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0032, after 0031.
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM named_notifications WHERE kind = 1")
    op.add_column(
        "named_notifications",
        sa.Column("envelope", sa.LargeBinary(), server_default="", nullable=False),
    )
    op.add_column(
        "named_notifications", sa.Column("keyring", sa.Text(), server_default="", nullable=False)
    )
    for column in ("project", "domain"):
        op.add_column("deliveries", sa.Column(column, sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    for column in ("project", "domain"):
        op.drop_column("deliveries", column)
    op.execute("DELETE FROM named_notifications WHERE kind = 1")
    for column in ("envelope", "keyring"):
        op.drop_column("named_notifications", column)
