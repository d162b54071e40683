"""
Adds claims of e-mail domains: those that an org is to prove, or has proven, by a DNS record.

They are not in ``email_domains``, by which the previous release lets people join, until they are
proven. This revision runs while that release still serves: add; do not change or remove what it uses.

Revision: 0046, after 0045.
"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def _at(name: str, *, nullable: bool = True) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "email_domain_claims",
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        _at("created_at", nullable=False),
        _at("checked_at"),
        _at("proven_at"),
        _at("missing_since"),
        _at("due_at"),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("email_domain_claims_org_fkey")),
        sa.PrimaryKeyConstraint("org", "domain", name=op.f("email_domain_claims_pkey")),
    )
    op.create_index("email_domain_claims_due", "email_domain_claims", ["due_at"])
    op.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON email_domain_claims TO volary_app, volary_fleet"
    )
    op.execute("ALTER TABLE email_domain_claims ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY email_domain_claims_of_org ON email_domain_claims TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    op.execute(
        "CREATE POLICY email_domain_claims_of_fleet ON email_domain_claims TO volary_fleet"
        " USING (true)"
    )


def downgrade() -> None:
    op.drop_table("email_domain_claims")
