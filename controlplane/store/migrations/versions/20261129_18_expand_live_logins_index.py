"""
Adds the index by which an org's logins are revoked in pages.

Revision: 0031, after 0030.
"""

from alembic import op

from controlplane.store.migrations.sessions import create_index_concurrently

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index_concurrently(
        "token_families_live", "ON token_families (org, family_id) WHERE revoked_at IS NULL"
    )


def downgrade() -> None:
    op.drop_index("token_families_live", "token_families")
