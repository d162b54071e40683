"""
Adds settings of orgs, domains and projects; and what a run was asked for before they applied.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0017, after 0016.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scoped_settings",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("updated_by", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("scoped_settings_org_fkey")),
        sa.PrimaryKeyConstraint("org", "domain", "project", name=op.f("scoped_settings_pkey")),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON scoped_settings TO volary_app, volary_fleet"
    )
    op.execute("ALTER TABLE scoped_settings ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY scoped_settings_of_org ON scoped_settings TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(
        "CREATE POLICY scoped_settings_of_fleet ON scoped_settings TO volary_fleet USING (true)"
    )
    op.add_column("runs", sa.Column("requested_spec", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("runs", "requested_spec")
    op.drop_table("scoped_settings")
