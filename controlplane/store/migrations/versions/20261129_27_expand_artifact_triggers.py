"""
Adds triggers of artifacts, and the queue of versions for which they are to start runs.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0040, after 0039.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_KEY = ("org", "project", "domain", "task_name", "name", "artifact", "version")


def upgrade() -> None:
    for name in ("artifact", "artifact_version"):
        op.add_column("triggers", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.add_column(
        "triggers",
        sa.Column("artifact_partitions", postgresql.JSONB(), server_default="{}", nullable=False),
    )
    op.create_table(
        "artifact_firings",
        *(sa.Column(name, sa.Text(), nullable=False) for name in _KEY),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name=op.f("artifact_firings_pkey")),
    )
    op.create_index("artifact_firings_due", "artifact_firings", ["due_at"])
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON artifact_firings TO volary_app, volary_fleet"
    )
    op.execute("ALTER TABLE artifact_firings ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY artifact_firings_of_org ON artifact_firings TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(
        "CREATE POLICY artifact_firings_of_fleet ON artifact_firings TO volary_fleet USING (true)"
    )


def downgrade() -> None:
    op.drop_table("artifact_firings")
    for name in ("artifact_partitions", "artifact_version", "artifact"):
        op.drop_column("triggers", name)
