"""
Adds the index of deliveries by project, for callers who may read those of some projects only.

It is created concurrently, so that no delivery waits for it.

Revision: 0033, after 0032.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "deliveries_by_project", "ON deliveries (org, project, state, delivery_id)"
    )


def downgrade() -> None:
    op.drop_index("deliveries_by_project", "deliveries")
