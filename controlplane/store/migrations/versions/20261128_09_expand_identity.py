"""
Adds users, members, roles, bindings, service accounts, API keys, invitations and the audit log.

Users are for the role ``volary_fleet`` alone. Rows of the audit log can be added and read; no role
may change or remove them, which a trigger holds for the tables' owner, too.

This revision runs while the previous release still serves: add; do not change or remove what
that release uses.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_OF_FLEET = ("users", "user_identities")
_OF_ORG = (
    "members",
    "roles",
    "role_bindings",
    "service_accounts",
    "api_keys",
    "invitations",
    "email_domains",
    "audit_heads",
    "idempotent_requests",
)

_APPEND_ONLY = """
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""


def _at(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, default: str | None = "") -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def _key(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=False)


def _uuid(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _version() -> "sa.Column[int]":
    return sa.Column("version", sa.BigInteger(), server_default="1", nullable=False)


def _bytes(name: str) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _org(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["org"], ["orgs.org"], name=op.f(f"{table}_org_fkey"))


def upgrade() -> None:
    op.add_column("orgs", _text("name"))
    op.add_column("orgs", _text("created_by"))
    op.add_column("orgs", _version())
    _create_users()
    _create_members()
    _create_machines()
    _create_ways_in()
    _create_audit_log()
    op.create_table(
        "idempotent_requests",
        _key("org"),
        _key("request_id"),
        _key("method"),
        _bytes("request_digest"),
        sa.Column("response", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        _at("created_at"),
        sa.PrimaryKeyConstraint("org", "request_id", name=op.f("idempotent_requests_pkey")),
    )
    op.create_index(
        op.f("idempotent_requests_org_created_at"), "idempotent_requests", ["org", "created_at"]
    )
    for table in _OF_ORG:
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_app")
    op.execute("GRANT SELECT, INSERT ON audit_log TO volary_app")
    for table in (*_OF_ORG, "audit_log"):
        op.execute(
            f"CREATE POLICY {table}_of_org ON {table} TO volary_app"
            " USING ((org = current_setting('app.org', true)) IS TRUE)"
        )
    for table in (*_OF_FLEET, *_OF_ORG):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO volary_fleet")
    op.execute("GRANT SELECT ON audit_log TO volary_fleet")
    for table in (*_OF_FLEET, *_OF_ORG, "audit_log"):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {table}_of_fleet ON {table} TO volary_fleet USING (true)")


def _create_users() -> None:
    op.create_table(
        "users",
        _uuid("user_id"),
        _text("email"),
        sa.Column("email_verified", sa.Boolean(), server_default="false", nullable=False),
        _text("name"),
        _at("created_at"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("users_pkey")),
    )
    op.create_table(
        "user_identities",
        _key("issuer"),
        _key("subject"),
        _uuid("user_id"),
        _at("created_at"),
        _at("seen_at"),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("user_identities_pkey")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.user_id"], name=op.f("user_identities_user_id_fkey")
        ),
    )
    op.create_index(op.f("user_identities_user_id"), "user_identities", ["user_id"])


def _create_members() -> None:
    op.create_table(
        "members",
        _key("org"),
        _uuid("user_id"),
        _text("role"),
        _text("email"),
        _text("name"),
        _text("source"),
        sa.Column("groups", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        _at("created_at"),
        _at("seen_at", nullable=True),
        _version(),
        sa.PrimaryKeyConstraint("org", "user_id", name=op.f("members_pkey")),
        _org("members"),
    )
    op.create_index(op.f("members_user_id"), "members", ["user_id"])
    op.create_index(
        "members_owners", "members", ["org", "user_id"], postgresql_where=sa.text("role = 'owner'")
    )
    op.create_table(
        "roles",
        _key("org"),
        _key("role"),
        sa.Column("permissions", postgresql.ARRAY(sa.Text()), nullable=False),
        _text("description"),
        _at("created_at"),
        _version(),
        sa.PrimaryKeyConstraint("org", "role", name=op.f("roles_pkey")),
        _org("roles"),
    )
    op.create_table(
        "role_bindings",
        _key("org"),
        _uuid("binding_id"),
        _key("principal_kind"),
        _key("principal_id"),
        _key("role"),
        _text("project"),
        _text("domain"),
        _text("created_by"),
        _at("created_at"),
        sa.CheckConstraint(
            "project <> '' OR domain = ''", name=op.f("role_bindings_domain_has_project")
        ),
        sa.PrimaryKeyConstraint("org", "binding_id", name=op.f("role_bindings_pkey")),
        _org("role_bindings"),
    )
    op.create_index(
        "role_bindings_of_principal",
        "role_bindings",
        ["org", "principal_kind", "principal_id", "role", "project", "domain"],
        unique=True,
    )
    op.create_index(op.f("role_bindings_org_role"), "role_bindings", ["org", "role"])


def _create_machines() -> None:
    op.create_table(
        "service_accounts",
        _key("org"),
        _uuid("account_id"),
        _key("name"),
        _text("description"),
        _text("created_by"),
        _at("created_at"),
        _at("disabled_at", nullable=True),
        _version(),
        sa.PrimaryKeyConstraint("org", "account_id", name=op.f("service_accounts_pkey")),
        _org("service_accounts"),
    )
    op.create_index(
        op.f("service_accounts_org_name"), "service_accounts", ["org", "name"], unique=True
    )
    op.create_table(
        "api_keys",
        _key("org"),
        _uuid("key_id"),
        _uuid("account_id"),
        _text("name"),
        _bytes("digest"),
        _text("created_by"),
        _at("created_at"),
        _at("expires_at", nullable=True),
        _at("last_used_at", nullable=True),
        _at("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("org", "key_id", name=op.f("api_keys_pkey")),
        sa.ForeignKeyConstraint(
            ["org", "account_id"],
            ["service_accounts.org", "service_accounts.account_id"],
            name=op.f("api_keys_org_account_id_fkey"),
        ),
    )
    op.create_index("api_keys_by_id", "api_keys", ["key_id"], unique=True)
    op.create_index(op.f("api_keys_org_account_id"), "api_keys", ["org", "account_id"])


def _create_ways_in() -> None:
    op.create_table(
        "invitations",
        _key("org"),
        _uuid("invitation_id"),
        _text("email"),
        _key("role"),
        _text("project"),
        _text("domain"),
        _bytes("digest"),
        _text("created_by"),
        _at("created_at"),
        _at("expires_at"),
        _at("used_at", nullable=True),
        _uuid("used_by", nullable=True),
        sa.PrimaryKeyConstraint("org", "invitation_id", name=op.f("invitations_pkey")),
        _org("invitations"),
    )
    op.create_index("invitations_by_digest", "invitations", ["digest"], unique=True)
    op.create_index(op.f("invitations_org_expires_at"), "invitations", ["org", "expires_at"])
    op.create_table(
        "email_domains",
        _key("org"),
        _key("domain"),
        _key("role"),
        _text("created_by"),
        _at("created_at"),
        sa.PrimaryKeyConstraint("org", "domain", name=op.f("email_domains_pkey")),
        _org("email_domains"),
    )
    op.create_index(op.f("email_domains_domain"), "email_domains", ["domain"])


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        _key("org"),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        _at("at"),
        _key("actor"),
        _key("action"),
        _key("target"),
        _key("outcome"),
        _text("peer"),
        _text("request_id"),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
        ),
        _bytes("previous_hash"),
        _bytes("hash"),
        sa.PrimaryKeyConstraint("org", "number", name=op.f("audit_log_pkey")),
    )
    op.create_table(
        "audit_heads",
        _key("org"),
        sa.Column("number", sa.BigInteger(), server_default="0", nullable=False),
        _bytes("hash"),
        sa.PrimaryKeyConstraint("org", name=op.f("audit_heads_pkey")),
    )
    op.execute(_APPEND_ONLY)
    op.execute("REVOKE EXECUTE ON FUNCTION audit_log_is_append_only() FROM PUBLIC")
    op.execute(
        "CREATE TRIGGER audit_log_rows_stay BEFORE UPDATE OR DELETE ON audit_log"
        " FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only()"
    )
    op.execute(
        "CREATE TRIGGER audit_log_stays BEFORE TRUNCATE ON audit_log"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only()"
    )


def downgrade() -> None:
    for table in (
        "idempotent_requests",
        "audit_heads",
        "audit_log",
        "email_domains",
        "invitations",
        "api_keys",
        "service_accounts",
        "role_bindings",
        "roles",
        "members",
        "user_identities",
        "users",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION audit_log_is_append_only()")
    for column in ("version", "created_by", "name"):
        op.drop_column("orgs", column)
