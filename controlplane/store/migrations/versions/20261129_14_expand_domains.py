"""
Adds the domains of an org that differ from the default ones.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0027, after 0026.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "domains",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("domains_org_fkey")),
        sa.PrimaryKeyConstraint("org", "domain", name=op.f("domains_pkey")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON domains TO volary_app, volary_fleet")
    op.execute("ALTER TABLE domains ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY domains_of_org ON domains TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute("CREATE POLICY domains_of_fleet ON domains TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table("domains")
