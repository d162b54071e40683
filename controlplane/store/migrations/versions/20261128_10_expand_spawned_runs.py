"""
Adds to runs the run whose task started them, so that a deadlock between runs can be explained.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Runs of the previous release stay without it: nothing depends on it but explanations.
    op.add_column("runs", sa.Column("spawned_by", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("runs", "spawned_by")
