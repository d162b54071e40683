"""
Defines the tables of people's logins in browsers: providers, login attempts, sessions.

Providers belong to an org. The others are found by a cookie or a ``state`` before an org is known,
so they are for the role ``volary_fleet`` alone. Cookies and states are stored as SHA-256 digests of
256 random bits; client secrets, refresh tokens and attempts are sealed (``authn.sealing``).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from controlplane.store.columns import FLEET_ONLY, at, metadata, text_column

identity_providers = Table(
    "identity_providers",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("provider_id", Uuid, primary_key=True),
    text_column("name"),
    Column("issuer", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("client_secret", LargeBinary),  # sealed; NULL for a public client
    Column("scopes", ARRAY(Text), nullable=False),
    text_column("groups_claim"),
    Column("email_domains", ARRAY(Text), nullable=False, server_default="{}"),
    text_column("role"),  # of those who become members by logging in
    Column("enabled", Boolean, nullable=False, server_default="true"),
    text_column("created_by"),
    at("created_at"),
    Column("version", BigInteger, nullable=False, server_default="1"),
    Index(None, "org", "issuer", "client_id", unique=True),
)

# A login that a browser began and that its provider has not answered yet.
login_attempts = Table(
    "login_attempts",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of the state
    Column("browser_digest", LargeBinary, nullable=False),  # of the cookie that binds it
    Column("org", Text, nullable=False),  # of the provider; "": the installation's
    Column("provider_id", Uuid, nullable=False),
    Column("details", LargeBinary, nullable=False),  # sealed: nonce, code verifier, return path
    text_column("peer"),
    at("created_at"),
    at("expires_at"),
    Index(None, "expires_at"),
    Index(None, "peer", "expires_at"),
    info=FLEET_ONLY,
)

browser_sessions = Table(
    "browser_sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # of the cookie
    Column("user_id", Uuid, ForeignKey("users.user_id"), nullable=False),
    text_column("org"),  # the chosen one
    Column("provider_id", Uuid),  # NULL: by an owner link
    text_column("provider_org"),
    Column("email_verified", Boolean, nullable=False, server_default="false"),
    text_column("peer"),
    text_column("browser"),
    at("created_at"),
    at("seen_at"),
    at("expires_at"),
    Index(None, "user_id"),
    Index(None, "expires_at"),
    Index(None, "seen_at"),
    info=FLEET_ONLY,
)

# One row for each person and provider of an org: what is needed to read their groups again.
provider_logins = Table(
    "provider_logins",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.user_id"), primary_key=True),
    Column("provider_id", Uuid, primary_key=True),
    Column("org", Text, nullable=False),
    Column("refresh_token", LargeBinary),  # sealed; NULL: the provider gave none
    at("checked_at"),  # when the groups were last asked for
    at("confirmed_at"),  # when the provider last answered
    at("seen_at"),  # when the person was last active
    Index(None, "org", "provider_id"),
    Index(None, "seen_at"),
    info=FLEET_ONLY,
)
