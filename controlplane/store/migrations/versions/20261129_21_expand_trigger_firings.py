"""
Adds the firings of triggers, and their policy for runs that overlap.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0034, after 0033.
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_KEY = ("org", "project", "domain", "task_name", "name")


def upgrade() -> None:
    for name, kind in (("overlap", sa.SmallInteger()), ("firings", sa.BigInteger())):
        op.add_column("triggers", sa.Column(name, kind, server_default="0", nullable=False))
    op.create_table(
        "trigger_firings",
        *(sa.Column(name, sa.Text(), nullable=False) for name in _KEY),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("instant", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_instant", sa.DateTime(timezone=True), nullable=False),
        sa.Column("instants", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run", sa.Text(), server_default="", nullable=False),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, "number", name=op.f("trigger_firings_pkey")),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON trigger_firings TO volary_app, volary_fleet"
    )
    op.execute("ALTER TABLE trigger_firings ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY trigger_firings_of_org ON trigger_firings TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(
        "CREATE POLICY trigger_firings_of_fleet ON trigger_firings TO volary_fleet USING (true)"
    )


def downgrade() -> None:
    op.drop_table("trigger_firings")
    op.drop_column("triggers", "firings")
    op.drop_column("triggers", "overlap")
