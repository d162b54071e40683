"""Defines the tables that a restore from a backup leaves: what was restored, and what was found."""

from sqlalchemy import Column, DateTime, Integer, Table, Text, Uuid

from controlplane.store.columns import FLEET_ONLY, at, metadata, text_column

# One row for each restore in the life of this database: copies of copies have several.
restores = Table(
    "restores",
    metadata,
    Column("restored_at", DateTime(timezone=True), primary_key=True),
    at("taken_at"),  # the moment that the backup shows
    text_column("volary"),  # the release that made the backup
    text_column("archive_sha256"),
    info=FLEET_ONLY,
)

# What agents held that the copy did not know, and what it knew and they do not hold: at most one
# row for each attempt in their inventories. The next restore deletes those of the last.
restore_findings = Table(
    "restore_findings",
    metadata,
    Column("org", Text, primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("lease_id", Uuid, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("kind", Text, nullable=False),  # core.restores.FindingKind
    at("found_at"),
)
