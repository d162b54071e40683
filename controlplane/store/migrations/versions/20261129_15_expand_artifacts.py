"""
Adds names of artifacts and their versions.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0028, after 0027.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def _text(name: str, default: str | None = "") -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _json(name: str, default: str) -> "sa.Column[object]":
    return sa.Column(name, postgresql.JSONB(), server_default=default, nullable=False)


def _key(*more: str) -> list["sa.Column[str]"]:
    return [_text(name, None) for name in ("org", "project", "domain", "name", *more)]


def upgrade() -> None:
    op.create_table(
        "artifact_names",
        *_key(),
        _text("time_key"),
        sa.Column("granularity", sa.SmallInteger(), server_default="0", nullable=False),
        _json("partition_keys", "[]"),
        sa.Column("declared", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("versions", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_number", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("latest_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("artifact_names_org_fkey")),
        sa.PrimaryKeyConstraint(
            *("org", "project", "domain", "name"), name=op.f("artifact_names_pkey")
        ),
    )
    op.create_index(
        "artifact_names_latest",
        "artifact_names",
        ["org", "project", "domain", sa.text("latest_at DESC"), "name"],
        postgresql_where=sa.text("versions > 0"),
    )
    op.create_table(
        "artifacts",
        *_key("version"),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("spec", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _json("partitions", "{}"),
        sa.Column("time_partition", sa.DateTime(timezone=True), nullable=True),
        _text("time_key"),
        sa.Column("granularity", sa.SmallInteger(), server_default="0", nullable=False),
        _json("user_metadata", "{}"),
        _text("source_run"),
        _text("source_action"),
        _text("external_ref"),
        _text("created_by"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("artifacts_org_fkey")),
        sa.PrimaryKeyConstraint(
            *("org", "project", "domain", "name", "version"), name=op.f("artifacts_pkey")
        ),
    )
    scope = ("org", "project", "domain")
    op.create_index(
        "artifacts_by_number",
        "artifacts",
        [*scope, "name", sa.text("number DESC")],
        unique=True,
    )
    op.create_index(
        "artifacts_newest",
        "artifacts",
        [*scope, sa.text("created_at DESC"), "name", sa.text("number DESC")],
    )
    op.create_index(
        "artifacts_by_time",
        "artifacts",
        [*scope, "name", "time_partition", sa.text("number DESC")],
        postgresql_where=sa.text("time_partition IS NOT NULL"),
    )
    op.create_index(
        "artifacts_by_source",
        "artifacts",
        [*scope, "source_run"],
        postgresql_where=sa.text("source_run <> ''"),
    )
    for table in ("artifact_names", "artifacts"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app, volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    op.drop_table("artifacts")
    op.drop_table("artifact_names")
