"""
Tables of result caching: the outputs of succeeded attempts, by key.

The key leads project and domain, so that the entries of one key in all projects lie together.
"""

from sqlalchemy import Column, DateTime, ForeignKey, Index, Integer, Table, Text, Uuid

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
)
