"""
Tables of result caching: the outputs of succeeded attempts by key, and equal actions that wait.

The key leads project and domain, so that the entries of one key in all projects lie together.
"""

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Interval,
    Table,
    Text,
    Uuid,
    text,
)

from controlplane.store.columns import at as _at, metadata, text_column as _text

cache_entries = Table(
    "cache_entries",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    # Their source, by name too: the action may be gone. NULL: a client of CacheService put them.
    Column("action_id", Uuid),
    Column("attempt", Integer, nullable=False, server_default="0"),
    _text("run"),
    _text("action"),
    _text("task_name"),
    Column("output_uri", Text, nullable=False),
    _at("created_at"),
    _at("hit_at"),  # by the day: an entry without hits is deleted after the retention time
    # Entries made before this were replaced by this one.
    Column("replaces_before", DateTime(timezone=True), nullable=False),
    Index("cache_entries_unused", "hit_at"),
    Index(
        "cache_entries_by_run",
        *("org", "project", "domain", "run"),
        postgresql_where=text("run <> ''"),
    ),
)

# Of equal actions that ask to be serialized, the one that runs: the others of its key, project and
# domain wait until it ends.
cache_reservations = Table(
    "cache_reservations",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("action_id", Uuid, nullable=False),
    Column("run_id", Uuid, nullable=False),
    # An action has waited for it, so its end is left to the loop that lets the next one run.
    Column("waited", Boolean, nullable=False, server_default="false"),
    _at("created_at"),
    _at("ended_at", nullable=True),  # when that action ended
    Index(None, "org", "action_id"),
    Index(None, "org", "run_id"),
    Index(
        "cache_reservations_ended",
        "org",
        "key",
        "project",
        "domain",
        postgresql_where=text("ended_at IS NOT NULL"),
    ),
    Index(
        "cache_reservations_waited",
        "org",
        "key",
        "project",
        "domain",
        postgresql_where=text("waited AND ended_at IS NULL"),
    ),
)

cache_waiters = Table(
    "cache_waiters",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("run_id", Uuid, nullable=False),
    Column("parent_id", Uuid),  # NULL for a root
    Column("key", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("domain", Text, nullable=False),
    _text("queue"),
    Column("max_age", Interval),  # of the entry that it takes; NULL: any
    Column("has_outputs", Boolean, nullable=False),
    _at("created_at"),
    Index(None, "org", "key", "project", "domain", "created_at", "action_id"),
)
