"""
Adds the index by which the runs that a run has started are found.

Revision: 0013, after 0012.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_spawned", "ON runs (org, spawned_by, run_id) WHERE spawned_by IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_index("runs_spawned", "runs")
