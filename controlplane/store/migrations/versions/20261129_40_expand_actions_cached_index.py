"""
Adds the index by which the actions with cached results of a run are found.

Revision: 0053, after 0052.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "actions_cached",
        "ON actions (org, cached_run, run_id) WHERE cached_run IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index("actions_cached", "actions")
