"""
Adds quotas of orgs and projects, and the counts of each day's actions.

This revision runs while the previous release still serves: add; do not change or remove what it uses.
Actions that the previous release enqueues are not counted, and its replicas refuse none.

Revision: 0062, after 0061.
"""

import sqlalchemy as sa
from alembic import op

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None


def _key(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _of_org(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f(f"{table}_org_fkey"))


def upgrade() -> None:
    op.create_table(
        "quotas",
        *_key("org", "project"),
        sa.Column("actions_per_day", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("triggers", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requests_per_second", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        _of_org("quotas"),
        sa.PrimaryKeyConstraint("org", "project", name=op.f("quotas_pkey")),
    )
    op.create_table(
        "action_counts",
        *_key("org"),
        sa.Column("day", sa.Date(), nullable=False),
        *_key("project"),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("actions", sa.BigInteger(), nullable=False),
        _of_org("action_counts"),
        sa.PrimaryKeyConstraint("org", "day", "project", "shard", name=op.f("action_counts_pkey")),
        postgresql_with={
            "fillfactor": "50",
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "500",
        },
    )
    op.create_index("action_counts_old", "action_counts", ["day"])
    for table in ("quotas", "action_counts"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table("action_counts")
    op.drop_table("quotas")
