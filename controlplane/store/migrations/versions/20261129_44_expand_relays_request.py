"""
Adds the column ``request`` of forwarded calls, beside ``wish``, which is its earlier name.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. It writes and reads ``wish`` only; a later release drops that column.

Revision: 0057, after 0056.
"""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("relays", sa.Column("request", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("relays", "request")
