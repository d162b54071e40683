"""
Defines the tables of identity: users, members, roles, bindings, service accounts, audit log.

A user is one person in all orgs, found at login before an org is known: ``users`` and
``user_identities`` are for the role ``volary_fleet`` alone. All else belongs to an org; ``members``
repeats the e-mail address and the name, so that an org sees its members and no other users.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from controlplane.store.columns import FLEET_ONLY, at, metadata, text_column


def _version() -> "Column[int]":
    return Column("version", BigInteger, nullable=False, server_default="1")


def _org(*, references: bool = True) -> "Column[str]":
    keys = [ForeignKey("orgs.org")] if references else []
    return Column("org", Text, *keys, primary_key=True)


users = Table(
    "users",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    text_column("email"),
    Column("email_verified", Boolean, nullable=False, server_default="false"),
    text_column("name"),
    at("created_at"),
    info=FLEET_ONLY,
)

# The accounts at identity providers by which a user logs in.
user_identities = Table(
    "user_identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.user_id"), nullable=False),
    at("created_at"),
    at("seen_at"),
    Index(None, "user_id"),
    info=FLEET_ONLY,
)

members = Table(
    "members",
    metadata,
    _org(),
    Column("user_id", Uuid, primary_key=True),
    text_column("role"),  # in the whole org; "": role bindings only
    text_column("email"),
    text_column("name"),
    text_column("source"),  # invitation, email_domain, provider, creator
    # Groups that the identity provider named at the last login or refresh.
    Column("groups", ARRAY(Text), nullable=False, server_default="{}"),
    at("created_at"),
    at("seen_at", nullable=True),
    _version(),
    Index(None, "user_id"),  # the orgs of a user, found by the role volary_fleet
    Index("members_owners", "org", "user_id", postgresql_where=text("role = 'owner'")),
)

# Custom roles; the built-in ones are in core.roles.
roles = Table(
    "roles",
    metadata,
    _org(),
    Column("role", Text, primary_key=True),
    Column("permissions", ARRAY(Text), nullable=False),
    text_column("description"),
    at("created_at"),
    _version(),
)

role_bindings = Table(
    "role_bindings",
    metadata,
    _org(),
    Column("binding_id", Uuid, primary_key=True),
    Column("principal_kind", Text, nullable=False),  # user, service_account, group
    Column("principal_id", Text, nullable=False),  # a UUID, or a group's name at the provider
    Column("role", Text, nullable=False),
    text_column("project"),
    text_column("domain"),
    text_column("created_by"),
    at("created_at"),
    Index(
        "role_bindings_of_principal",
        "org",
        "principal_kind",
        "principal_id",
        "role",
        "project",
        "domain",
        unique=True,
    ),
    Index(None, "org", "role"),
    CheckConstraint("project <> '' OR domain = ''", name="role_bindings_domain_has_project"),
)

service_accounts = Table(
    "service_accounts",
    metadata,
    _org(),
    Column("account_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    text_column("description"),
    text_column("created_by"),
    at("created_at"),
    at("disabled_at", nullable=True),
    _version(),
    Index(None, "org", "name", unique=True),
)

api_keys = Table(
    "api_keys",
    metadata,
    _org(references=False),
    Column("key_id", Uuid, primary_key=True),
    Column("account_id", Uuid, nullable=False),
    text_column("name"),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the secret
    text_column("created_by"),
    at("created_at"),
    at("expires_at", nullable=True),
    at("last_used_at", nullable=True),
    at("revoked_at", nullable=True),
    ForeignKeyConstraint(
        ["org", "account_id"], ["service_accounts.org", "service_accounts.account_id"]
    ),
    Index("api_keys_by_id", "key_id", unique=True),  # before the org is known
    Index(None, "org", "account_id"),
)

# Links by which a person becomes a member; also the one-time link of an org's first owner.
invitations = Table(
    "invitations",
    metadata,
    _org(),
    Column("invitation_id", Uuid, primary_key=True),
    text_column("email"),  # the only address that may use it; "": any
    Column("role", Text, nullable=False),
    text_column("project"),
    text_column("domain"),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the link's token
    text_column("created_by"),
    at("created_at"),
    at("expires_at"),
    at("used_at", nullable=True),
    Column("used_by", Uuid),
    Index("invitations_by_digest", "digest", unique=True),
    Index(None, "org", "expires_at"),
)

# Users with a verified e-mail address in the domain may join the org by themselves.
email_domains = Table(
    "email_domains",
    metadata,
    _org(),
    Column("domain", Text, primary_key=True),
    Column("role", Text, nullable=False),
    text_column("created_by"),
    at("created_at"),
    Index(None, "domain"),
)

# Domains that an org is to prove, or has proven, by a DNS record; those that are proven are in
# email_domains as well. At most core.identity.MAX_EMAIL_DOMAINS.
email_domain_claims = Table(
    "email_domain_claims",
    metadata,
    _org(),
    Column("domain", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("challenge", Text, nullable=False),  # a part of the record; no secret
    text_column("created_by"),
    at("created_at"),
    at("checked_at", nullable=True),
    at("proven_at", nullable=True),
    at("missing_since", nullable=True),
    at("due_at", nullable=True),  # when the record is looked up again
    Index("email_domain_claims_due", "due_at"),
)

# Append-only: volary_app may insert and read, and a trigger refuses changes by any role.
audit_log = Table(
    "audit_log",
    metadata,
    _org(references=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # from 1, without gaps
    at("at"),
    Column("actor", Text, nullable=False),  # a Subject
    Column("action", Text, nullable=False),  # noun.verb
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # done, refused
    text_column("peer"),
    text_column("request_id"),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

# The last row's number and hash: serialises appends, and shows that last rows were removed.
audit_heads = Table(
    "audit_heads",
    metadata,
    _org(references=False),
    Column("number", BigInteger, nullable=False, server_default="0"),
    Column("hash", LargeBinary, nullable=False),
)

# Answers of create requests, by the caller's request id, kept for a day.
idempotent_requests = Table(
    "idempotent_requests",
    metadata,
    _org(references=False),
    Column("request_id", Text, primary_key=True),
    Column("method", Text, nullable=False),
    Column("request_digest", LargeBinary, nullable=False),
    Column("response", JSONB, nullable=False),
    at("created_at"),
    Index(None, "org", "created_at"),
)
