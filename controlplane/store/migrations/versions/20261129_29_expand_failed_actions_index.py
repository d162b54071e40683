"""
Adds the index by which the first error of a run is found.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0042, after 0041.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "actions_failed",
        "ON actions (org, run_id, ended_at) WHERE error_code IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index("actions_failed", table_name="actions")
