"""
Adds reservations of the result cache, and the actions that wait for an equal one.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Its replicas end actions without their reservations; the loop finds those.

Revision: 0023, after 0022.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_ENTRY = ["org", "key", "project", "domain"]


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False)


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "cache_reservations",
        *(_text(name) for name in _ENTRY),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("waited", sa.Boolean(), server_default="false", nullable=False),
        _at("created_at"),
        _at("ended_at", nullable=True),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("cache_reservations_org_fkey")),
        sa.PrimaryKeyConstraint(*_ENTRY, name=op.f("cache_reservations_pkey")),
    )
    op.create_table(
        "cache_waiters",
        _text("org"),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        *(_text(name) for name in _ENTRY[1:]),
        sa.Column("queue", sa.Text(), server_default="", nullable=False),
        sa.Column("max_age", sa.Interval(), nullable=True),
        sa.Column("has_outputs", sa.Boolean(), nullable=False),
        _at("created_at"),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("cache_waiters_org_fkey")),
        sa.PrimaryKeyConstraint("org", "action_id", name=op.f("cache_waiters_pkey")),
    )
    _index("cache_reservations", ["org", "action_id"])
    _index("cache_reservations", ["org", "run_id"])
    _index("cache_waiters", [*_ENTRY, "created_at", "action_id"])
    op.create_index(
        "cache_reservations_ended",
        "cache_reservations",
        _ENTRY,
        postgresql_where=sa.text("ended_at IS NOT NULL"),
    )
    op.create_index(
        "cache_reservations_waited",
        "cache_reservations",
        _ENTRY,
        postgresql_where=sa.text("waited AND ended_at IS NULL"),
    )
    for table in ("cache_reservations", "cache_waiters"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")
    op.add_column(
        "actions",
        sa.Column("cache_serialized", sa.Boolean(), server_default="false", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("actions", "cache_serialized")
    op.drop_table("cache_waiters")
    op.drop_table("cache_reservations")


def _index(table: str, columns: list[str]) -> None:
    op.create_index(op.f(f"{table}_{'_'.join(columns)}"), table, columns)
