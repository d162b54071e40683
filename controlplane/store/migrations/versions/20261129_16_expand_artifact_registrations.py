"""
Adds the queue of attempts whose outputs declare artifacts, and which specs declare that they may.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses. Artifacts of attempts whose success the previous release has written are not
registered; specs that it has stored are corrected when they are next stored.

Revision: 0029, after 0028.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "specs",
        sa.Column("produces_artifacts", sa.Boolean(), server_default="false", nullable=False),
    )
    op.create_table(
        "artifact_registrations",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("output_uri", sa.Text(), nullable=False),
        sa.Column("claims", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["orgs.org"], name=op.f("artifact_registrations_org_fkey")
        ),
        sa.PrimaryKeyConstraint(
            *("org", "action_id", "attempt"), name=op.f("artifact_registrations_pkey")
        ),
    )
    op.create_index("artifact_registrations_due", "artifact_registrations", ["due_at"])
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON artifact_registrations TO volary_app, volary_fleet"
    )
    op.execute("ALTER TABLE artifact_registrations ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY artifact_registrations_of_org ON artifact_registrations TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(
        "CREATE POLICY artifact_registrations_of_fleet ON artifact_registrations TO volary_fleet"
        " USING (true)"
    )


def downgrade() -> None:
    op.drop_table("artifact_registrations")
    op.drop_column("specs", "produces_artifacts")
