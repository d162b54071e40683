"""
Adds secrets, as envelopes, and the public keys that clusters announce for them.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("keyring", sa.Text(), nullable=False),
        sa.Column(
            "recipients",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("secrets_org_fkey")),
        sa.PrimaryKeyConstraint("org", "project", "domain", "name", name=op.f("secrets_pkey")),
    )
    op.create_index("secrets_image_pull", "secrets", ["org"], postgresql_where=sa.text("type = 1"))
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON secrets TO volary_app, volary_fleet")
    op.execute("ALTER TABLE secrets ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY secrets_of_org ON secrets TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute("CREATE POLICY secrets_of_fleet ON secrets TO volary_fleet USING (true)")
    op.add_column(
        "clusters",
        sa.Column("secrets_key", sa.LargeBinary(), server_default="", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("clusters", "secrets_key")
    op.drop_table("secrets")
