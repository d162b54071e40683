"""
Adds to orgs whether their people must use the org's own identity provider, and to logins by the SDK
and CLI the org whose provider the person used.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Logins that the previous release starts have no such org: an org that requires
its own provider refuses them.

Revision: 0019, after 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "orgs",
        sa.Column("requires_own_provider", sa.Boolean(), server_default="false", nullable=False),
    )
    for table in ("authorization_codes", "device_codes", "token_families"):
        op.add_column(
            table, sa.Column("provider_org", sa.Text(), server_default="", nullable=False)
        )
