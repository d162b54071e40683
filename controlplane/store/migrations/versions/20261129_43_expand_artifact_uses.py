"""
Adds the lineage of artifacts: the versions among inputs, and the runs that took them.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Runs that the previous release creates have no lineage.

Revision: 0056, after 0055.
"""

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

_VERSION = ("project", "domain", "name", "version")


def _text(*names: str) -> "list[sa.Column[str]]":
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _of_org(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f(f"{table}_org_fkey"))


def upgrade() -> None:
    op.create_table(
        "input_artifacts",
        *_text("org", "input_uri", *_VERSION),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        _of_org("input_artifacts"),
        sa.PrimaryKeyConstraint("org", "input_uri", *_VERSION, name=op.f("input_artifacts_pkey")),
    )
    op.create_index("input_artifacts_old", "input_artifacts", ["created_at"])
    op.create_table(
        "artifact_uses",
        *_text("org", *_VERSION),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        _of_org("artifact_uses"),
        sa.PrimaryKeyConstraint("org", *_VERSION, "run_id", name=op.f("artifact_uses_pkey")),
    )
    op.create_index("artifact_uses_by_run", "artifact_uses", ["org", "run_id"])
    for table in ("input_artifacts", "artifact_uses"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table("artifact_uses")
    op.drop_table("input_artifacts")
