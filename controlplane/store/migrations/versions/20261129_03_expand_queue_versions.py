"""
Adds a version to each queue, which grows with each change of its settings.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. A change that the previous release makes leaves the version as it is.

Revision: 0016, after 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "queues", sa.Column("version", sa.BigInteger(), server_default="1", nullable=False)
    )
