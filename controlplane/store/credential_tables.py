"""
Defines the tables of the authorization server: keys, codes, tokens, revocations.

Credentials are stored as SHA-256 digests of 256 random bits; private keys are sealed
(``authn.sealing``). Only the two tables of revocations belong to an org. The others are looked up
before the org is known, by the role ``volary_fleet`` alone.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.store.columns import FLEET_ONLY, at, metadata, text_column

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("algorithm", Text, nullable=False),
    Column("private_key", LargeBinary, nullable=False),  # sealed
    Column("public_jwk", JSONB, nullable=False),
    at("created_at"),
    at("active_from"),  # it signs from here on, until a later key becomes active
    at("expires_at", nullable=True),  # NULL: it has no successor yet
    info=FLEET_ONLY,
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("org", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text, nullable=False),  # of the method S256
    text_column("provider_org"),  # whose identity provider the person used, here and below
    at("created_at"),
    at("expires_at"),
    Index(None, "expires_at"),
    info=FLEET_ONLY,
)

# Logins of devices without a browser; org, subject and approval are set when a person decides.
device_codes = Table(
    "device_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_code_digest", LargeBinary, nullable=False, unique=True),  # HMAC: it is short
    Column("client_id", Text, nullable=False),
    text_column("peer"),  # address that asked, shown to the person who decides
    Column("interval_seconds", Integer, nullable=False),
    at("polled_at", nullable=True),
    Column("org", Text),
    Column("subject", Text),
    Column("approved", Boolean),
    text_column("provider_org"),
    at("created_at"),
    at("expires_at"),
    Index(None, "expires_at"),
    Index(None, "peer", "expires_at"),
    info=FLEET_ONLY,
)

# One row for each login of a person by the SDK or CLI: all tokens that follow from it.
token_families = Table(
    "token_families",
    metadata,
    Column("family_id", Uuid, primary_key=True),
    Column("org", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    at("created_at"),
    at("used_at"),  # when it was last refreshed
    at("expires_at"),
    at("revoked_at", nullable=True),
    text_column("revoked_because"),
    text_column("provider_org"),
    Index(None, "org", "subject"),
    Index(None, "expires_at"),
    # Those of an org, by pages, to revoke them.
    Index("token_families_live", "org", "family_id", postgresql_where=text("revoked_at IS NULL")),
    info=FLEET_ONLY,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column(
        "family_id",
        Uuid,
        ForeignKey("token_families.family_id", ondelete="CASCADE"),
        nullable=False,
    ),
    at("created_at"),
    at("expires_at"),
    at("used_at", nullable=True),
    # The token that replaced it, sealed with a key that only this token gives; NULL after the
    # grace period.
    Column("successor", LargeBinary),
    Index(None, "family_id"),
    Index(None, "used_at"),
    Index("refresh_tokens_successors", "used_at", postgresql_where=text("successor IS NOT NULL")),
    info=FLEET_ONLY,
)

# Credentials whose access tokens are refused; kept until the last of those has expired.
revocations = Table(
    "revocations",
    metadata,
    Column("org", Text, primary_key=True),
    Column("credential_kind", Text, primary_key=True),
    Column("credential_id", Text, primary_key=True),
    at("revoked_at"),
    at("expires_at"),
    Index(None, "revoked_at"),
    Index(None, "expires_at"),
)

# Logins of programs that are being revoked, in pages: deleted with the last page.
login_revocations = Table(
    "login_revocations",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("logins", Text, primary_key=True),  # core.credentials.EndedLogins
    Column("provider_id", Uuid, primary_key=True),  # of one provider; else 0
    at("created_at"),
)
