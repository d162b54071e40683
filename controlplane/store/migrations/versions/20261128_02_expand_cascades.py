"""
Adds cascades: markers of ended actions that may still have live descendants.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Indexes on large tables: concurrently, in an autocommit block.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cascades",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("past", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("aborted_by", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("org", "run_id", "action_id", name=op.f("cascades_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON cascades TO volary_app")
    op.execute("ALTER TABLE cascades ENABLE ROW LEVEL SECURITY")
    op.execute(
        """
        CREATE POLICY cascades_of_org ON cascades TO volary_app
            USING (org = current_setting('app.org', true)
                   OR current_setting('app.fleet', true) = 'on')
        """
    )


def downgrade() -> None:
    op.drop_table("cascades")
