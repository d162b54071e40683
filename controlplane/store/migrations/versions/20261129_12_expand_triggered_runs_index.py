"""
Adds the index by which the runs that a trigger has started are listed.

Revision: 0025, after 0024.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_triggered",
        "ON runs (org, project, domain, trigger_task, trigger_name, created_at DESC, run_id)"
        " WHERE trigger_name <> ''",
    )


def downgrade() -> None:
    op.drop_index("runs_triggered", "runs")
