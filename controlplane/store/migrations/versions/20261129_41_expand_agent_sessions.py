"""
Adds the history of agents' sessions, and counts of queues over time.

This revision runs while the previous release still serves: add; do not change or remove what it uses.

Revision: 0054, after 0053.
"""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def _text(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "agent_sessions",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        _text("agent_id"),
        _text("instance_id"),
        _text("software"),
        _text("serial"),
        _at("opened_at"),
        _at("ended_at", nullable=True),
        _text("ended_because"),
        sa.ForeignKeyConstraint(
            ["org", "cluster"],
            ["clusters.org", "clusters.cluster"],
            name=op.f("agent_sessions_org_cluster_fkey"),
        ),
        sa.PrimaryKeyConstraint("org", "cluster", "epoch", name=op.f("agent_sessions_pkey")),
    )
    op.create_table(
        "queue_samples",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        _at("at"),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("assigned", sa.Integer(), nullable=False),
        sa.Column("waited", sa.Interval(), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("queue_samples_org_fkey")),
        sa.PrimaryKeyConstraint("org", "queue", "at", name=op.f("queue_samples_pkey")),
    )
    op.create_index(op.f("queue_samples_at"), "queue_samples", ["at"])
    for table in ("agent_sessions", "queue_samples"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table("queue_samples")
    op.drop_table("agent_sessions")
