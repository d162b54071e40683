"""
Adds entries of the result cache, and what became of each action in it.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Runs and actions of that release are not cached.

Revision: 0018, after 0017.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    op.create_table(
        "cache_entries",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        _text("run"),
        _text("action"),
        _text("task_name"),
        sa.Column("output_uri", sa.Text(), nullable=False),
        _at("created_at"),
        _at("hit_at"),
        _at("replaces_before"),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("cache_entries_org_fkey")),
        sa.PrimaryKeyConstraint("org", "key", "project", "domain", name=op.f("cache_entries_pkey")),
    )
    op.create_index("cache_entries_unused", "cache_entries", ["hit_at"])
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON cache_entries TO volary_app, volary_fleet")
    op.execute("ALTER TABLE cache_entries ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY cache_entries_of_org ON cache_entries TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute("CREATE POLICY cache_entries_of_fleet ON cache_entries TO volary_fleet USING (true)")
    op.add_column(
        "actions",
        sa.Column("cache_status", sa.SmallInteger(), server_default="0", nullable=False),
    )
    op.add_column("actions", sa.Column("cached_from", postgresql.JSONB(), nullable=True))
    op.add_column(
        "runs", sa.Column("cache_overwrite", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column(
        "runs", sa.Column("cache_scopes", postgresql.JSONB(), server_default="[]", nullable=True)
    )


def downgrade() -> None:
    op.drop_column("runs", "cache_scopes")
    op.drop_column("runs", "cache_overwrite")
    op.drop_column("actions", "cached_from")
    op.drop_column("actions", "cache_status")
    op.drop_table("cache_entries")
