"""
Tables of artifacts: names with their partition keys, the versions of each name, and the queue of
attempts whose outputs are to be registered.

A transaction that adds or deletes a version holds the row of its name: versions are numbered
without gaps in the order of their commits, so that the newest one is the one with the greatest number.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from controlplane.store.columns import at as _at, metadata, text_column as _text

artifact_names = Table(
    "artifact_names",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _text("time_key"),
    Column("granularity", SmallInteger, nullable=False, server_default="0"),
    Column("partition_keys", JSONB, nullable=False, server_default="[]"),
    Column("declared", Boolean, nullable=False, server_default="false"),
    Column("versions", BigInteger, nullable=False, server_default="0"),
    Column("last_number", BigInteger, nullable=False, server_default="0"),
    # When the newest version was created; of a name without versions, when it was declared.
    _at("latest_at"),
    Index(
        "artifact_names_latest",
        *("org", "project", "domain", text("latest_at DESC"), "name"),
        postgresql_where=text("versions > 0"),
    ),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("spec", LargeBinary, nullable=False),  # flyteidl2.artifact.ArtifactSpec
    Column("digest", LargeBinary, nullable=False),  # of value, type and partition
    # The rest of what lists filter and order by; the spec has it too.
    Column("partitions", JSONB, nullable=False, server_default="{}"),
    Column("time_partition", DateTime(timezone=True)),
    _text("time_key"),
    Column("granularity", SmallInteger, nullable=False, server_default="0"),
    Column("user_metadata", JSONB, nullable=False, server_default="{}"),
    _text("source_run"),
    _text("source_action"),
    _text("external_ref"),
    _text("created_by"),
    _at("created_at"),
    Index(
        "artifacts_by_number",
        *("org", "project", "domain", "name", text("number DESC")),
        unique=True,
    ),
    Index(
        "artifacts_newest",
        *("org", "project", "domain", text("created_at DESC"), "name", text("number DESC")),
    ),
    Index(
        "artifacts_by_time",
        *("org", "project", "domain", "name", "time_partition", text("number DESC")),
        postgresql_where=text("time_partition IS NOT NULL"),
    ),
    Index(
        "artifacts_by_source",
        *("org", "project", "domain", "source_run"),
        postgresql_where=text("source_run <> ''"),
    ),
)

# Versions among inputs that were stored, by the inputs' URI, for the runs that will get them.
input_artifacts = Table(
    "input_artifacts",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("input_uri", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    _at("created_at"),  # rows are deleted some days after (loops.input_artifacts)
    Index("input_artifacts_old", "created_at"),
)

# Runs that took a version as an input of their root; the version may have been deleted since.
artifact_uses = Table(
    "artifact_uses",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("run_id", Uuid, primary_key=True),
    Index("artifact_uses_by_run", "org", "run_id"),
)

# Succeeded attempts whose outputs declare artifacts. A row is deleted with their registration.
artifact_registrations = Table(
    "artifact_registrations",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("output_uri", Text, nullable=False),
    Column("claims", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    _at("due_at"),
    Index("artifact_registrations_due", "due_at"),
)
