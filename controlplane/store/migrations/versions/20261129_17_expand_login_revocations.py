"""
Adds the logins that are being revoked in pages, so that any replica finishes what another began.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0030, after 0029.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_revocations",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("logins", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("login_revocations_org_fkey")),
        sa.PrimaryKeyConstraint(
            *("org", "logins", "provider_id"), name=op.f("login_revocations_pkey")
        ),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON login_revocations TO volary_app, volary_fleet"
    )
    op.execute("ALTER TABLE login_revocations ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY login_revocations_of_org ON login_revocations TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(
        "CREATE POLICY login_revocations_of_fleet ON login_revocations TO volary_fleet USING (true)"
    )


def downgrade() -> None:
    op.drop_table("login_revocations")
