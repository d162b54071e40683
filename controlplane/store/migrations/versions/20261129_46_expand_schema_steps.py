"""
Adds the history of the schema: which revision was run when, and by which release.

This revision runs while the previous release still serves, which does not use the table.

Revision: 0059, after 0058.
"""

import sqlalchemy as sa
from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def _text(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _at(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    op.create_table(
        "schema_steps",
        sa.Column("revision", sa.Text(), nullable=False),
        _text("kind"),
        _text("subject"),
        _text("requires"),
        _text("release"),
        _at("started_at"),
        _at("ended_at"),
        sa.PrimaryKeyConstraint("revision", name=op.f("schema_steps_pkey")),
    )
    op.execute("GRANT SELECT ON schema_steps TO volary_app, volary_fleet")


def downgrade() -> None:
    op.drop_table("schema_steps")
