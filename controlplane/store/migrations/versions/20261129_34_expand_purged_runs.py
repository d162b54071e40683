"""
Adds what the deletion of runs needs: since when a run is being deleted, and what needs its data.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. That release deletes no run, and does not fill in ``inputs_of`` and ``cached_run``.

Revision: 0047, after 0046.
"""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("actions", sa.Column("cached_run", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("inputs_of", sa.Uuid(), nullable=True))
    op.add_column("runs", sa.Column("purging_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("runs", "purging_since")
    op.drop_column("runs", "inputs_of")
    op.drop_column("actions", "cached_run")
