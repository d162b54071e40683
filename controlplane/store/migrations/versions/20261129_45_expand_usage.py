"""
Adds the usage of attempts by day, and what each task spec requests.

This revision runs while the previous release still serves: add; do not change or remove what it uses.
Attempts whose end that release writes are not metered.

Revision: 0058, after 0057.
"""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def _text(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text(), server_default="", nullable=False) for name in names]


def _key(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _amounts() -> "list[sa.Column[int]]":
    return [
        sa.Column("cpu_millis", sa.Integer(), server_default="0", nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("accelerators", sa.Integer(), server_default="0", nullable=False),
    ]


def _of_org(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f(f"{table}_org_fkey"))


def upgrade() -> None:
    for column in _amounts():
        op.add_column("specs", column)
    op.create_table(
        "usage_entries",
        *_key("org"),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        *_text("project", "domain", "task", "cluster", "queue"),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        *_amounts(),
        _of_org("usage_entries"),
        sa.PrimaryKeyConstraint("org", "action_id", "attempt", name=op.f("usage_entries_pkey")),
        postgresql_with={
            "autovacuum_vacuum_scale_factor": "0.02",
            "autovacuum_vacuum_threshold": "500",
        },
    )
    dimensions = ("project", "domain", "task", "cluster", "queue")
    sums = ("attempts", "run_ms", "cpu_ms", "memory_mib_ms", "accelerator_ms")
    op.create_table(
        "usage_days",
        *_key("org"),
        sa.Column("day", sa.Date(), nullable=False),
        *_key(*dimensions),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
        _of_org("usage_days"),
        sa.PrimaryKeyConstraint("org", "day", *dimensions, name=op.f("usage_days_pkey")),
    )
    op.create_index("usage_days_old", "usage_days", ["day"])
    for table in ("usage_entries", "usage_days"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table("usage_days")
    op.drop_table("usage_entries")
    for name in ("accelerators", "memory_bytes", "cpu_millis"):
        op.drop_column("specs", name)
