"""
Adds the index by which the latest run of a task is found.

Revision: 0045, after 0044.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_of_task",
        "ON runs (org, project, domain, root_task, created_at DESC, run_id)"
        " WHERE root_task <> '' AND source <> 4",
    )


def downgrade() -> None:
    op.drop_index("runs_of_task", "runs")
