"""
Adds identity providers, login attempts, browser sessions and logins at providers.

All but ``identity_providers`` are for the role ``volary_fleet`` alone: they are found before the
org is known.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_FLEET_ONLY = ("login_attempts", "browser_sessions", "provider_logins")


def _at(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _text(name: str, default: str | None = "") -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _key(name: str) -> "sa.Column[str]":
    return _text(name, None)


def _uuid(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id"], ["users.user_id"], name=op.f(f"{table}_user_id_fkey")
    )


def upgrade() -> None:
    _create_providers()
    op.create_table(
        "login_attempts",
        _bytes("digest"),
        _bytes("browser_digest"),
        _key("org"),
        _uuid("provider_id"),
        _bytes("details"),
        _text("peer"),
        _at("created_at"),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("digest", name=op.f("login_attempts_pkey")),
    )
    op.create_index(op.f("login_attempts_expires_at"), "login_attempts", ["expires_at"])
    op.create_index(
        op.f("login_attempts_peer_expires_at"), "login_attempts", ["peer", "expires_at"]
    )
    op.create_table(
        "browser_sessions",
        _uuid("session_id"),
        _bytes("digest"),
        _uuid("user_id"),
        _text("org"),
        _uuid("provider_id", nullable=True),
        _text("provider_org"),
        sa.Column("email_verified", sa.Boolean(), server_default="false", nullable=False),
        _text("peer"),
        _text("browser"),
        _at("created_at"),
        _at("seen_at"),
        _at("expires_at"),
        sa.PrimaryKeyConstraint("session_id", name=op.f("browser_sessions_pkey")),
        sa.UniqueConstraint("digest", name=op.f("browser_sessions_digest_key")),
        _of_user("browser_sessions"),
    )
    for column in ("user_id", "expires_at", "seen_at"):
        op.create_index(op.f(f"browser_sessions_{column}"), "browser_sessions", [column])
    op.create_table(
        "provider_logins",
        _uuid("user_id"),
        _uuid("provider_id"),
        _key("org"),
        _bytes("refresh_token", nullable=True),
        _at("checked_at"),
        _at("confirmed_at"),
        _at("seen_at"),
        sa.PrimaryKeyConstraint("user_id", "provider_id", name=op.f("provider_logins_pkey")),
        _of_user("provider_logins"),
    )
    op.create_index(
        op.f("provider_logins_org_provider_id"), "provider_logins", ["org", "provider_id"]
    )
    op.create_index(op.f("provider_logins_seen_at"), "provider_logins", ["seen_at"])
    for table in ("identity_providers", *_FLEET_ONLY):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_fleet")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def _create_providers() -> None:
    op.create_table(
        "identity_providers",
        _key("org"),
        _uuid("provider_id"),
        _text("name"),
        _key("issuer"),
        _key("client_id"),
        _bytes("client_secret", nullable=True),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        _text("groups_claim"),
        sa.Column(
            "email_domains", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False
        ),
        _text("role"),
        sa.Column("enabled", sa.Boolean(), server_default="true", nullable=False),
        _text("created_by"),
        _at("created_at"),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("org", "provider_id", name=op.f("identity_providers_pkey")),
        sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f("identity_providers_org_fkey")),
    )
    op.create_index(
        op.f("identity_providers_org_issuer_client_id"),
        "identity_providers",
        ["org", "issuer", "client_id"],
        unique=True,
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON identity_providers TO volary_app")
    op.execute(
        "CREATE POLICY identity_providers_of_org ON identity_providers TO volary_app"
        " USING ((org = current_setting('app.org', true)) IS TRUE)"
    )


def downgrade() -> None:
    for table in (*reversed(_FLEET_ONLY), "identity_providers"):
        op.drop_table(table)
