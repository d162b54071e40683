"""
Defines the tables of agents' identity, authorities, enrolments, certificates, and of their sessions.

An authority signs for all orgs: ``agent_authorities`` is for the role ``volary_fleet`` alone. Join
tokens and certificates are found by digest before the org is known, by the same role.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from controlplane.store.columns import FLEET_ONLY, at, metadata, text_column

agent_authorities = Table(
    "agent_authorities",
    metadata,
    Column("authority_id", Uuid, primary_key=True),
    Column("certificate", Text, nullable=False),  # PEM
    Column("private_key", LargeBinary, nullable=False),  # sealed
    at("created_at"),
    at("active_from"),  # it signs from here on, until a later one becomes active
    at("expires_at"),
    info=FLEET_ONLY,
)

# Each begins as a join token of 15 minutes; states are in core.agent_identity.
agent_enrolments = Table(
    "agent_enrolments",
    metadata,
    Column("org", Text, primary_key=True),
    Column("enrolment_id", Uuid, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the join token
    Column("auto_accept", Boolean, nullable=False, server_default="false"),
    text_column("created_by"),
    at("created_at"),
    at("expires_at"),
    Column("public_key", LargeBinary, nullable=False, server_default=""),
    at("used_at", nullable=True),
    text_column("peer"),
    text_column("software"),
    at("accepted_at", nullable=True),
    text_column("accepted_by"),
    at("ended_at", nullable=True),
    text_column("ended_because"),
    ForeignKeyConstraint(["org", "cluster"], ["clusters.org", "clusters.cluster"]),
    Index("agent_enrolments_by_digest", "digest", unique=True),
    Index(None, "org", "cluster"),
)

agent_certificates = Table(
    "agent_certificates",
    metadata,
    Column("org", Text, primary_key=True),
    Column("serial", Text, primary_key=True),  # hexadecimal
    Column("fingerprint", LargeBinary, nullable=False),  # SHA-256 of the certificate
    Column("enrolment_id", Uuid, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("authority_id", Uuid, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("certificate", Text, nullable=False),  # PEM
    at("created_at"),
    at("expires_at"),
    at("confirmed_at", nullable=True),
    at("retired_at", nullable=True),
    at("revoked_at", nullable=True),
    text_column("instance_id"),
    Column("past_instances", ARRAY(Text), nullable=False, server_default="{}"),
    ForeignKeyConstraint(
        ["org", "enrolment_id"],
        ["agent_enrolments.org", "agent_enrolments.enrolment_id"],
        ondelete="CASCADE",
    ),
    Index("agent_certificates_by_fingerprint", "fingerprint", unique=True),
    Index(None, "org", "enrolment_id"),
)

# What each cluster's agent found last (at most shared.model.findings.MAX_FINDINGS of limited length).
agent_findings = Table(
    "agent_findings",
    metadata,
    Column("org", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("findings", JSONB, nullable=False),
    at("checked_at"),  # by the agent's clock
    at("received_at"),
    # The previous release deletes clusters without knowing this table.
    ForeignKeyConstraint(
        ["org", "cluster"], ["clusters.org", "clusters.cluster"], ondelete="CASCADE"
    ),
)

# The latest sessions of each cluster (store.agents.sessions has the limit).
agent_sessions = Table(
    "agent_sessions",
    metadata,
    Column("org", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    text_column("agent_id"),
    text_column("instance_id"),
    text_column("software"),
    text_column("serial"),  # of the agent's certificate
    at("opened_at"),
    at("ended_at", nullable=True),  # of one that was superseded: its last heartbeat
    text_column("ended_because"),
    ForeignKeyConstraint(["org", "cluster"], ["clusters.org", "clusters.cluster"]),
)
