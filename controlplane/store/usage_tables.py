"""Tables of usage: attempts that ended and are not counted yet, and what was used each day."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Index, Integer, Table, Text, Uuid

from controlplane.store.columns import at as _at, metadata, text_column as _text

# Written with the end of an attempt, and deleted in the transaction that adds it to usage_days:
# so an attempt counts once. It names what a purge of its run deletes.
usage_entries = Table(
    "usage_entries",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("action_id", Uuid, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    _text("project"),
    _text("domain"),
    _text("task"),
    _text("cluster"),
    _text("queue"),
    _at("began_at"),
    _at("ended_at"),
    Column("cpu_millis", Integer, nullable=False, server_default="0"),
    Column("memory_bytes", BigInteger, nullable=False, server_default="0"),
    Column("accelerators", Integer, nullable=False, server_default="0"),
    # A queue: its rows live for seconds.
    postgresql_with={
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_threshold": "500",
    },
)

# Of a UTC day; kept for 400 days (controlplane.core.usage).
usage_days = Table(
    "usage_days",
    metadata,
    Column("org", Text, ForeignKey("orgs.org"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("domain", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("cluster", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("attempts", BigInteger, nullable=False),
    Column("run_ms", BigInteger, nullable=False),
    Column("cpu_ms", BigInteger, nullable=False),
    Column("memory_mib_ms", BigInteger, nullable=False),
    Column("accelerator_ms", BigInteger, nullable=False),
    Index("usage_days_old", "day"),
)
