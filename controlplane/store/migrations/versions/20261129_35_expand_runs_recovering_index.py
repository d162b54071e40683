"""
Adds the index by which the runs that recovered another are found.

Revision: 0048, after 0047.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_recovering",
        "ON runs (org, recovers, run_id) WHERE recovers IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index("runs_recovering", "runs")
