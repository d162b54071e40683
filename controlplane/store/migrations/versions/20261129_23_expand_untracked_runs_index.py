"""
Adds the index by which all other runs are listed, however many tracked ones are newer.

Revision: 0036, after 0035.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_untracked",
        "ON runs (org, project, domain, created_at DESC, run_id) WHERE source <> 4",
    )


def downgrade() -> None:
    op.drop_index("runs_untracked", "runs")
