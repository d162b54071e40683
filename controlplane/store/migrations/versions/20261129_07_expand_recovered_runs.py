"""
Adds the relation of a run to another, and what an action recovers.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. A run that the previous release creates has no relation.

Revision: 0020, after 0019.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "runs", sa.Column("relation", sa.SmallInteger(), server_default="0", nullable=False)
    )
    op.add_column("runs", sa.Column("related_to", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("recovers", sa.Uuid(), nullable=True))
    op.add_column("runs", sa.Column("forced", JSONB(), server_default="[]", nullable=False))
    op.add_column(
        "actions", sa.Column("recovered_from", sa.Text(), server_default="", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("actions", "recovered_from")
    for column in ("forced", "recovers", "related_to", "relation"):
        op.drop_column("runs", column)
