"""
Adds the tables of the authorization server: signing keys, codes, tokens, revocations.

All but ``revocations`` are for the role ``volary_fleet`` alone: they are looked up before the org
is known.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_FLEET_ONLY = (
    "signing_keys",
    "authorization_codes",
    "device_codes",
    "token_families",
    "refresh_tokens",
)


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "signing_keys",
        _text("kid"),
        _text("algorithm"),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        _at("created_at"),
        _at("active_from"),
        _at("expires_at", nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("signing_keys_pkey")),
    )
    op.create_table(
        "authorization_codes",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _text("org"),
        _text("subject"),
        _text("client_id"),
        _text("redirect_uri"),
        _text("code_challenge"),
        _at("created_at"),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("authorization_codes_pkey")),
    )
    op.create_index(op.f("authorization_codes_expires_at"), "authorization_codes", ["expires_at"])
    op.create_table(
        "device_codes",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_code_digest", sa.LargeBinary(), nullable=False),
        _text("client_id"),
        sa.Column("peer", sa.Text(), server_default="", nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        _at("polled_at", nullable=True),
        sa.Column("org", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("approved", sa.Boolean(), nullable=True),
        _at("created_at"),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("device_codes_pkey")),
        sa.UniqueConstraint("user_code_digest", name=op.f("device_codes_user_code_digest_key")),
    )
    op.create_index(op.f("device_codes_expires_at"), "device_codes", ["expires_at"])
    op.create_index(op.f("device_codes_peer_expires_at"), "device_codes", ["peer", "expires_at"])
    op.create_table(
        "token_families",
        sa.Column("family_id", sa.Uuid(), nullable=False),
        _text("org"),
        _text("subject"),
        _text("client_id"),
        _at("created_at"),
        _at("used_at"),
        _at("expires_at"),
        _at("revoked_at", nullable=True),
        sa.Column("revoked_because", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("family_id", name=op.f("token_families_pkey")),
    )
    op.create_index(op.f("token_families_org_subject"), "token_families", ["org", "subject"])
    op.create_index(op.f("token_families_expires_at"), "token_families", ["expires_at"])
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        _at("created_at"),
        _at("expires_at"),
        _at("used_at", nullable=True),
        sa.Column("successor", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("refresh_tokens_pkey")),
        sa.ForeignKeyConstraint(
            ["family_id"],
            ["token_families.family_id"],
            name=op.f("refresh_tokens_family_id_fkey"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("refresh_tokens_family_id"), "refresh_tokens", ["family_id"])
    op.create_index(op.f("refresh_tokens_used_at"), "refresh_tokens", ["used_at"])
    op.create_index(
        "refresh_tokens_successors",
        "refresh_tokens",
        ["used_at"],
        postgresql_where=sa.text("successor IS NOT NULL"),
    )
    op.create_table(
        "revocations",
        _text("org"),
        _text("credential_kind"),
        _text("credential_id"),
        _at("revoked_at"),
        _at("expires_at"),
        sa.PrimaryKeyConstraint(
            "org", "credential_kind", "credential_id", name=op.f("revocations_pkey")
        ),
    )
    op.create_index(op.f("revocations_revoked_at"), "revocations", ["revoked_at"])
    op.create_index(op.f("revocations_expires_at"), "revocations", ["expires_at"])
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON revocations TO volary_app")
    op.execute(
        "CREATE POLICY revocations_of_org ON revocations TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )
    for table in ("revocations", *_FLEET_ONLY):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def downgrade() -> None:
    for table in ("revocations", *reversed(_FLEET_ONLY)):
        op.drop_table(table)
