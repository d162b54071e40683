"""
Adds what a restore from a backup leaves: when it was, which clusters wait for it, and what was found.

This revision runs while the previous release still serves: add; do not change or remove what that
release uses. That release restores nothing.

Revision: 0060, after 0059.
"""

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.add_column("clusters", _at("restored_at", nullable=True))
    op.add_column("clusters", _at("reconciled_at", nullable=True))
    op.create_table(
        "restores",
        _at("restored_at"),
        _at("taken_at"),
        sa.Column("volary", sa.Text(), server_default="", nullable=False),
        sa.Column("archive_sha256", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("restored_at", name=op.f("restores_pkey")),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON restores TO volary_fleet")
    op.execute("ALTER TABLE restores ENABLE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY restores_of_fleet ON restores TO volary_fleet USING (true)")
    op.create_table(
        "restore_findings",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_id", sa.Uuid(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        _at("found_at"),
        sa.PrimaryKeyConstraint(
            "org", "action_id", "attempt", "lease_id", name=op.f("restore_findings_pkey")
        ),
    )
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON restore_findings TO volary_app, volary_fleet"
    )
    op.execute("ALTER TABLE restore_findings ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY restore_findings_of_org ON restore_findings TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(
        "CREATE POLICY restore_findings_of_fleet ON restore_findings TO volary_fleet USING (true)"
    )


def downgrade() -> None:
    op.drop_table("restore_findings")
    op.drop_table("restores")
    op.drop_column("clusters", "reconciled_at")
    op.drop_column("clusters", "restored_at")
