"""
Adds the index by which the reruns and recoveries of a run are found.

Revision: 0021, after 0020.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_related",
        "ON runs (org, project, domain, related_to, run_id) WHERE related_to IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index("runs_related", "runs")
