"""Defines the tables of what an org, a domain or a project gives its runs: secrets, domains, settings."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.store.columns import at, metadata, text_column

# Values as envelopes; project and domain are "" in wider scopes.
secrets = Table(
    "secrets",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("type", SmallInteger, nullable=False),  # core.secrets.SecretType
    Column("envelope", LargeBinary, nullable=False),
    Column("keyring", Text, nullable=False),  # name of the key that opens it, or "clusters"
    Column("recipients", JSONB, nullable=False, server_default="[]"),  # names of clusters' keys
    Column("version", BigInteger, nullable=False, server_default="1"),
    text_column("created_by"),
    at("created_at"),
    at("updated_at"),
    Index("secrets_image_pull", "org", postgresql_where=text("type = 1")),
)

# Domains that an org has beside the default ones, or has renamed or deleted of those; at most
# core.domains.MAX_DOMAINS and those.
domains = Table(
    "domains",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("domain", Text, primary_key=True),
    text_column("name"),
    Column("is_deleted", Boolean, nullable=False, server_default="false"),
    at("created_at"),
)

# What an org, a domain or a project gives its runs; project and domain are "" in wider scopes.
# At most one row for each, and a row is at most core.scoped_settings.MAX_BYTES.
scoped_settings = Table(
    "scoped_settings",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("body", JSONB, nullable=False),  # dotted keys with their values; null: unset
    Column("version", BigInteger, nullable=False, server_default="1"),
    text_column("updated_by"),
    at("updated_at"),
)
