"""
Adds the latest findings of each cluster's agent.

This revision runs while the previous release still serves: add; do not change or remove what it uses.

Revision: 0061, after 0060.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0061"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_findings",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("findings", postgresql.JSONB(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org", "cluster"],
            ["clusters.org", "clusters.cluster"],
            name=op.f("agent_findings_org_cluster_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("org", "cluster", name=op.f("agent_findings_pkey")),
    )
    table = "agent_findings"
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table("agent_findings")
