"""
Adds the index by which dispatches are claimed: by priority, the largest first.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0010, after 0009.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "dispatches_by_priority",
        "ON dispatches (org, pool, priority DESC, limited, queue, is_root, run_id, available_at,"
        " action_id) WHERE lease_id IS NULL",
    )


def downgrade() -> None:
    op.drop_index("dispatches_by_priority", "dispatches")
