"""
Adds the index by which tracked runs are listed, those that a program runs and reports.

Revision: 0035, after 0034.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_tracked", "ON runs (org, project, domain, created_at DESC, run_id) WHERE source = 4"
    )


def downgrade() -> None:
    op.drop_index("runs_tracked", "runs")
