"""
Adds triggers with their revisions, and names on each run the trigger that started it.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0024, after 0023.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_KEY = ("org", "project", "domain", "task_name", "name")


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _content() -> "list[sa.Column[object]]":
    keys: list[sa.Column[object]] = [sa.Column(name, sa.Text(), nullable=False) for name in _KEY]
    return [
        *keys,
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.SmallInteger(), nullable=False),
        sa.Column("task_version", sa.Text(), nullable=False),
        sa.Column("spec", sa.LargeBinary(), nullable=False),
        sa.Column("automation", sa.LargeBinary(), nullable=False),
        sa.Column("automation_type", sa.SmallInteger(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("input_uri", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("origin", sa.SmallInteger(), nullable=False),
        sa.Column("deployed_by", sa.Text(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        _at("deployed_at"),
        _at("updated_at"),
        _at("triggered_at", nullable=True),
        _at("deleted_at", nullable=True),
    ]


def upgrade() -> None:
    op.create_table(
        "triggers",
        *_content(),
        _text("cron"),
        _text("zone"),
        sa.Column("every", sa.Interval(), nullable=True),
        _at("anchor_at", nullable=True),
        sa.Column("from_anchor", sa.Boolean(), server_default="false", nullable=False),
        _at("fire_at", nullable=True),
        _at("wake_at", nullable=True),
        sa.Column("late", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped", sa.BigInteger(), server_default="0", nullable=False),
        _text("error"),
        _at("error_at", nullable=True),
        sa.PrimaryKeyConstraint(*_KEY, name=op.f("triggers_pkey")),
        postgresql_with={"fillfactor": "70"},
    )
    due = sa.text("wake_at IS NOT NULL")
    op.create_index("triggers_due", "triggers", ["wake_at"], postgresql_where=due)
    op.create_index("triggers_due_of_org", "triggers", ["org", "wake_at"], postgresql_where=due)
    op.create_index(
        "triggers_deleted",
        "triggers",
        ["deleted_at"],
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_table(
        "trigger_revisions",
        *_content(),
        sa.PrimaryKeyConstraint(*_KEY, "revision", name=op.f("trigger_revisions_pkey")),
    )
    for table in ("triggers", "trigger_revisions"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")
    op.add_column("runs", _text("trigger_task"))
    op.add_column("runs", _text("trigger_name"))
    op.add_column(
        "runs",
        sa.Column("trigger_revision", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column("runs", sa.Column("trigger_automation", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    for name in ("trigger_automation", "trigger_revision", "trigger_name", "trigger_task"):
        op.drop_column("runs", name)
    op.drop_table("trigger_revisions")
    op.drop_table("triggers")
