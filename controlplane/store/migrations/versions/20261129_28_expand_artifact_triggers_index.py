"""
Adds the index by which the triggers of an artifact are found.

Revision: 0041, after 0040.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "triggers_of_artifact",
        "ON triggers (org, project, domain, artifact) WHERE artifact <> ''",
    )


def downgrade() -> None:
    op.drop_index("triggers_of_artifact", "triggers")
