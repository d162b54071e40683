"""
Adds the index by which deleted orgs are found.

Revision: 0039, after 0038.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently("orgs_deleted", "ON orgs (org) WHERE deleted_at IS NOT NULL")


def downgrade() -> None:
    op.drop_index("orgs_deleted", "orgs")
