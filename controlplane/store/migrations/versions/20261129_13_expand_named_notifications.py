"""
Adds named notification rules and delivery configurations.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0026, after 0025.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TABLE = "named_notifications"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("org", "kind", "name", name=op.f(f"{_TABLE}_pkey")),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f(f"{_TABLE}_org_fkey")),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {_TABLE} TO volary_app, volary_fleet")
    op.execute(f"ALTER TABLE {_TABLE} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY {_TABLE}_of_org ON {_TABLE} TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(f"CREATE POLICY {_TABLE}_of_fleet ON {_TABLE} TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table(_TABLE)
