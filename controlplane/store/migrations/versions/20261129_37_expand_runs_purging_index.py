"""
Adds the index by which the runs whose data is being deleted are found.

Revision: 0050, after 0049.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_purging",
        "ON runs (org, run_id) WHERE purging_since IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index("runs_purging", "runs")
