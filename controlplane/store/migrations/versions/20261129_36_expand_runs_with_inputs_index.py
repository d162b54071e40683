"""
Adds the index by which the runs with inputs in the data of another are found.

Revision: 0049, after 0048.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "runs_with_inputs",
        "ON runs (org, inputs_of, run_id) WHERE inputs_of IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index("runs_with_inputs", "runs")
