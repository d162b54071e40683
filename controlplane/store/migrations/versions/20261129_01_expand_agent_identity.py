"""
Adds authorities, enrolments and certificates of agents, and what a cluster shows of them.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0014, after 0013.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OF_ORG = ("agent_enrolments", "agent_certificates")


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, default: str | None = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _bytes(name: str, default: str | None = None) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary(), server_default=default, nullable=False)


def _uuid(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.Uuid(), nullable=False)


def upgrade() -> None:
    op.add_column("clusters", _at("cloned_at", nullable=True))
    op.add_column("clusters", _text("cloned", ""))
    op.add_column("clusters", _text("renew_serial", ""))
    op.create_table(
        "agent_authorities",
        _uuid("authority_id"),
        _text("certificate"),
        _bytes("private_key"),
        _at("created_at"),
        _at("active_from"),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("authority_id", name=op.f("agent_authorities_pkey")),
    )
    op.create_table(
        "agent_enrolments",
        _text("org"),
        _uuid("enrolment_id"),
        _text("cluster"),
        _bytes("digest"),
        sa.Column("auto_accept", sa.Boolean(), server_default="false", nullable=False),
        _text("created_by", ""),
        _at("created_at"),
        _at("expires_at"),
        _bytes("public_key", ""),
        _at("used_at", nullable=True),
        _text("peer", ""),
        _text("software", ""),
        _at("accepted_at", nullable=True),
        _text("accepted_by", ""),
        _at("ended_at", nullable=True),
        _text("ended_because", ""),
        sa.PrimaryKeyConstraint("org", "enrolment_id", name=op.f("agent_enrolments_pkey")),
        sa.ForeignKeyConstraint(
            ["org", "cluster"],
            ["clusters.org", "clusters.cluster"],
            name=op.f("agent_enrolments_org_cluster_fkey"),
        ),
    )
    op.create_index("agent_enrolments_by_digest", "agent_enrolments", ["digest"], unique=True)
    op.create_index(op.f("agent_enrolments_org_cluster"), "agent_enrolments", ["org", "cluster"])
    op.create_table(
        "agent_certificates",
        _text("org"),
        _text("serial"),
        _bytes("fingerprint"),
        _uuid("enrolment_id"),
        _text("cluster"),
        _uuid("authority_id"),
        _bytes("public_key"),
        _text("certificate"),
        _at("created_at"),
        _at("expires_at"),
        _at("confirmed_at", nullable=True),
        _at("retired_at", nullable=True),
        _at("revoked_at", nullable=True),
        _text("instance_id", ""),
        sa.Column(
            "past_instances", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False
        ),
        sa.PrimaryKeyConstraint("org", "serial", name=op.f("agent_certificates_pkey")),
        sa.ForeignKeyConstraint(
            ["org", "enrolment_id"],
            ["agent_enrolments.org", "agent_enrolments.enrolment_id"],
            name=op.f("agent_certificates_org_enrolment_id_fkey"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "agent_certificates_by_fingerprint", "agent_certificates", ["fingerprint"], unique=True
    )
    op.create_index(
        op.f("agent_certificates_org_enrolment_id"), "agent_certificates", ["org", "enrolment_id"]
    )
    for table in _OF_ORG:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app")
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
    for table in ("agent_authorities", *_OF_ORG):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    for table in ("agent_certificates", "agent_enrolments", "agent_authorities"):
        op.drop_table(table)
    for column in ("renew_serial", "cloned", "cloned_at"):
        op.drop_column("clusters", column)
